"""`cmcore sample`: draw from a run, in a few jumps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cmcore as cm
from cmcore.cli.outcome import BadInput, say, write_json
from cmcore.config import USUAL_GRID
from cmcore.spreadsheet import as_csv

if TYPE_CHECKING:
    from cmcore.model import TrainedModel
    from cmcore.samplers import Score, Trajectory


SCORE_HELP = "What a baseline follows: the target's exact score, or the model's own; exact where it is known."


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("-n", "--number", type=int, default=1000, show_default=True, help="How many samples.")
@click.option("--steps", type=int, default=4, show_default=True, help="N, the number of jumps.")
@click.option("--sampler", help="`cmcore samplers` lists them; by default the one that the run was trained for.")
@click.option("--grid", default=USUAL_GRID, show_default=True, help="How the times are spaced.")
@click.option("--renoise", type=float, help="η as a share of t, of the step for algorithm_1; the run's own by default.")
@click.option("--delta", type=float, help="δ, where sampling stops; the run's own by default.")
@click.option("--score", type=click.Choice(["exact", "model"]), help=SCORE_HELP)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A .csv or .parquet file; standard output by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the samples, or what was written, as JSON.")
def sample(run: Path, number: int, sampler: str | None, out: Path | None, as_json: bool, **choices: Any) -> None:
    """Draw from the run in folder RUN. A table's samples come back in its own columns and units."""
    if out and out.suffix.lower() not in {".csv", ".parquet"}:
        raise BadInput(f"Samples are written to .csv or .parquet; got {out.name!r}.")
    model = cm.load(run)
    sampler, choices["renoise"], renoised = own_choices(model, sampler, choices["renoise"], choices["steps"])
    tell_score(model, sampler, choices["score"])
    delta = model.delta if choices["delta"] is None else choices["delta"]
    # At δ = 0 no time is left to add noise in: the last jump of a map that learned jumps to δ alone is its sample.
    draw = cm.sample(model, number, sampler=sampler, noiseless_end=renoised and delta == 0, **choices)
    columns, rows = _in_own_units(model, draw)
    facts = {"n": number, "calls": draw.calls, "delta": draw.delta, "sampler": sampler, "columns": columns}
    if out:
        _write(out, columns, rows)
        said = f"{number:,} samples at δ = {draw.delta:g} after {draw.calls} network calls, in {out}."
        write_json(facts | {"out": str(out)}) if as_json else say(said)
    elif as_json:
        write_json(facts | {"samples": rows})
    else:
        say(_as_csv(columns, rows), nl=False)


def own_choices(
    model: "TrainedModel", sampler: str | None, renoise: float | None, steps: int
) -> tuple[str, float, bool]:
    """Sampler and η/t, where they were left open those that keep to what the run learned, and whether it jumps to δ.

    What the run did not learn of that is said on standard error.
    """
    from cmcore.sampling_defaults import sampling_defaults

    own = sampling_defaults(model.config)
    chosen = sampler or own.sampler
    renoise = own.share_for(chosen) if renoise is None else renoise
    if words := own.caution(chosen, renoise, steps):
        say(words, err=True)
    elif own.single_time and sampler is None:
        say(f"This run learned {own.learned}: samples jump there and are renoised, η = t.", err=True)
    return chosen, renoise, own.single_time


def tell_score(model: "TrainedModel", sampler: str, score: "Score | None") -> None:
    """Say on standard error when a baseline follows the model's own score unasked; refuse one that was not taught."""
    from cmcore.samplers import SAMPLERS, score_of
    from cmcore.sampling_defaults import sampling_defaults

    if SAMPLERS[sampler].needs != "score":
        return
    _, whose = score_of(model, score)
    if whose == "model" and (problem := sampling_defaults(model.config).no_score):
        raise BadInput(f"This run {problem}; ask for --score exact.")
    if whose == "model" and score is None:
        words = f"{SAMPLERS[sampler].label} follows the run's own score: the exact one is not known here."
        say(words, err=True)


def _in_own_units(model: "TrainedModel", draw: "Trajectory") -> tuple[list[str], list[list[float]]]:
    """Column names and rows; those of the table, if it was one."""
    points = draw.points.double().cpu()
    if isinstance(model.target, cm.TableTarget):
        return list(model.target.columns), model.target.to_table(points).tolist()
    return [f"x{i + 1}" for i in range(model.dim)], points.tolist()


def _as_csv(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    return as_csv(columns, ([f"{value:.7g}" for value in row] for row in rows))


def _write(out: Path, columns: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    from cmcore.files import write_atomically

    if out.suffix.lower() == ".csv":
        return write_atomically(out, _as_csv(columns, rows).encode())
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))), content)
    return write_atomically(out, content.getvalue().to_pybytes())
