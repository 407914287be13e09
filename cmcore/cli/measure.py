"""`cmcore kl`: how far a run's samples are from the exact truth, for every number of jumps."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cmcore as cm
from cmcore.cli.outcome import BadInput, say, table, write_json
from cmcore.cli.sample import SCORE_HELP, own_choices, tell_score
from cmcore.config import USUAL_GRID

if TYPE_CHECKING:
    from cmcore.divergences import Estimate
    from cmcore.measure import Curve


class Names(click.ParamType):
    """Names of baselines separated by commas: ddim,heun."""

    name = "NAME,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        from cmcore.samplers import SAMPLERS

        if isinstance(value, list):
            return value
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if SAMPLERS[name].needs != "score":
                self.fail(f"{name!r} draws from a map; a baseline follows a score.", param, ctx)
        return names


class Counts(click.ParamType):
    """Whole numbers separated by commas: 1,2,4."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        try:
            counts = [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 1,2,4.", param, ctx)
        if min(counts) < 1:
            self.fail("a sampler makes at least one jump.", param, ctx)
        return counts


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--steps", type=Counts(), default="1,2,4,8,16", show_default=True, help="The numbers of network calls N.")
@click.option(
    "--sampler", help="deterministic, renoise, algorithm_1 or one_time; by default what the run was trained for."
)
@click.option("--grid", default=USUAL_GRID, show_default=True, help="How the times are spaced.")
@click.option("--renoise", type=float, help="η as a share of t, of the step for algorithm_1; the run's own by default.")
@click.option("--delta", type=float, help="δ, where sampling stops; the run's own by default, at least 0.02 renoised.")
@click.option("--direction", metavar="NAME", help="model-data or data-model; by default the run's own sampler decides.")
@click.option("-n", "--number", "n", type=int, help="Samples behind each estimate.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--baselines",
    type=Names(),
    is_flag=False,
    flag_value="ddim,heun,dpm++2m,exponential_sde",
    help="Beside it solvers that follow a score, by name (`cmcore samplers` lists them); four when none is named.",
)
@click.option("--score", type=click.Choice(["exact", "model"]), help=SCORE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the curves as JSON.")
def kl(run: Path, sampler: str | None, baselines: list[str] | None, as_json: bool, **choices: Any) -> None:
    """Estimate KL between the samples of the run in folder RUN and its target, in nats.

    Both are taken at δ: q is the law of the samples, p_δ that of the data with noise up to time δ. model-data is
    KL(q‖p_δ), data-model is KL(p_δ‖q).
    """
    model = cm.load(run)
    if model.target is None:
        raise BadInput(f"The run in {run} does not carry its target, so there is no truth to compare with.")
    from cmcore.divergences import direction_of
    from cmcore.sampling_defaults import delta_for, direction_for

    choices["direction"] = choices["direction"] and direction_of(choices["direction"])
    sampler, choices["renoise"], _ = own_choices(model, sampler, choices["renoise"], max(choices["steps"]))
    if choices["delta"] is None:
        choices["delta"] = delta_for(sampler, model.delta)
    choices["direction"] = choices["direction"] or direction_for(sampler)  # one for all curves
    names = [sampler, *(baselines or [])]
    for name in names:
        tell_score(model, name, choices["score"])
    curves = {}
    with click.progressbar(names, file=sys.stderr, hidden=not sys.stderr.isatty(), label="Measuring") as bar:
        for name in bar:
            curves[name] = cm.kl_versus_steps(model, model.target, sampler=name, horizon=model.horizon, **choices)
    if as_json:
        write_json({name: json.loads(curve.to_json()) for name, curve in curves.items()})
    else:
        say("\n\n".join(_in_words(name, curve) for name, curve in curves.items()))


def _in_words(sampler: str, curve: "Curve") -> str:
    """A title that says which KL, a row for every N, and what the estimates have to say."""
    first = curve.estimates[0]
    head = ("N", "KL", "95 % interval", "floor", "n", "estimator")
    rows = [(f"{steps:g}", *_row(estimate)) for steps, estimate in zip(curve.values, curve.estimates, strict=True)]
    notes = [f"N = {n:g}: {e.note}" for n, e in zip(curve.values, curve.estimates, strict=True) if e.note]
    score = {"exact": ", exact score", "model": ", learned score"}.get(curve.config.get("score", ""), "")
    title = f"{sampler}{score}: {first.direction} at δ = {first.delta:g}, in {first.unit}"
    return "\n".join((title, table(head, rows, left=0), *notes))


def _row(estimate: "Estimate") -> tuple[str, ...]:
    """One estimate; a value that is not to be trusted is not shown as a number, its interval is."""
    value = f"{estimate.value:.4g}" if estimate.trusted else "—"
    interval = f"[{estimate.low:.4g}, {estimate.high:.4g}]"
    return value, interval, f"{estimate.floor:.1g}", f"{estimate.n:,}", estimate.estimator
