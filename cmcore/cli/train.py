"""`cmcore train`: learn a flow map, and keep it in a folder."""

import csv
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cmcore as cm
from cmcore.cli.options import option
from cmcore.cli.outcome import INTERRUPTED, BadInput, Failed, ctrl_c, figures, parse_parameters, say, write_json

if TYPE_CHECKING:
    from cmcore.model import TrainedModel
    from cmcore.targets import Target
    from cmcore.training import TrainingEvent

MOST_SEEDS = 256
TABLES = {".csv", ".tsv", ".txt", ".dat", ".parquet"}
DEFAULT_STEPS = 8_000
INTERNAL = {
    "objective_parameters",
    "network",
    "hold",
    "earlier",
    "space_frequencies",
    "time_frequencies",
    "second_time",
}
"""Settings that are no option: those given otherwise, and those that a run sets itself."""


class Seeds(click.ParamType):
    """Whole numbers and ranges of them, separated by commas: 0-3 or 1,5,7-9."""

    name = "A-B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        seeds: list[int] = []
        for part in value.split(","):
            first, dash, last = part.strip().partition("-")
            if not (first.isdecimal() and (last.isdecimal() or not dash)):
                self.fail(f"{value!r} is not a list of seeds such as 0-3 or 1,5,7-9.", param, ctx)
            start, end = int(first), int(last or first)
            if end < start or end - start >= MOST_SEEDS:
                self.fail(f"{part.strip()} is not a range of 1 to {MOST_SEEDS} seeds.", param, ctx)
            seeds += range(start, end + 1)
        if len(set(seeds)) < len(seeds) or len(seeds) > MOST_SEEDS:
            self.fail(f"give up to {MOST_SEEDS} different seeds.", param, ctx)
        return seeds


class _Train(click.Command):
    """The command with an option for each setting of a training and of its network, made when first asked for."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from cmcore.config import NetworkConfig, TrainingConfig
        from cmcore.settings import settings_of

        offered = [s for s in (*settings_of(TrainingConfig), *settings_of(NetworkConfig)) if s.name not in INTERNAL]
        return [*super().get_params(ctx), *map(option, offered)]


@click.command(cls=_Train)
@click.argument("target", required=False)
@click.option("--columns", metavar="A,B,…", help="Columns of a table, those of numbers by default.")
@click.option("--density", help="How a table becomes a law: kernel_density or gaussian_mixture.")
@click.option("--bandwidth", type=float, help="Of the kernels, in standard deviations; by default the likeliest.")
@click.option(
    "-p", "--parameter", multiple=True, metavar="NAME=VALUE", help="A parameter of the target, or of `cm.read_table`."
)
@click.option(
    "-o",
    "--objective-parameter",
    multiple=True,
    metavar="NAME=VALUE",
    help="One of its parameters; `cmcore objectives NAME` lists them.",
)
@click.option("--seeds", type=Seeds(), help="Train a run for each seed, all at once, in OUT/seed-0, OUT/seed-1, …")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; runs/TARGET by default.")
@click.option("--resume", type=click.Path(path_type=Path, exists=True), help="Continue the run in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def train(target: str | None, out: Path | None, resume: Path | None, as_json: bool, **options: Any) -> None:
    """Learn a flow map of TARGET: a name from `cmcore targets`, or a CSV or Parquet file.

    Ctrl-C stops at the next sound place and keeps the weights; --resume goes on from there. With --steps or --seconds
    it trains any run for so much more.
    """
    earlier = cm.load(resume) if resume else None
    law = _law(target, earlier, options)
    if isinstance(law, cm.TableTarget):
        say(" ".join((law.truth, *law.notes)), err=True)
    config = _config(earlier, options)
    if not resume:  # what cannot be learned is better known before there is a folder
        from cmcore.training_defaults import resolved

        resolved(config, law)
    folder = out or resume or Path("runs") / _name(target)
    if not resume and folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} already holds something: choose another --out, or continue it with --resume.")
    folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made is better known before the training
    if options["seeds"]:
        return _train_members(law, config, options["seeds"], folder, as_json=as_json)

    with ctrl_c() as asked_to_stop, _progress() as show:
        event = None
        for event in cm.training(law, config, resume=earlier):
            show(event)
            if asked_to_stop.is_set() and event.status in {"preparing", "training"}:
                break
    assert event is not None
    if not event.step and earlier is None:
        say("Interrupted before the first step: there is nothing to keep.", err=True)
        click.get_current_context().exit(INTERRUPTED)
    model = event.model()
    if earlier is not None and event.status == "diverged" and model.steps <= earlier.steps:
        raise Failed(f"{event.message} Nothing was gained, so {resume} stays as it was.")
    cm.save(model, folder)

    summary = _summary(model, folder, event.message, event.loss, event.quality)
    if as_json:
        write_json(summary)
    else:
        say(_in_words(summary))
    if event.status == "diverged":
        raise Failed(event.message)
    if asked_to_stop.is_set() and event.status != "finished":
        say(f"Interrupted. Go on with: cmcore train --resume {folder}", err=True)
        click.get_current_context().exit(INTERRUPTED)
    return None


def _train_members(
    law: "Target", config: "cm.TrainingConfig", seeds: Sequence[int], folder: Path, *, as_json: bool
) -> None:
    """A run for each seed as one computation, each in a folder of its own, with a line on each."""
    chosen = config.model_dump(exclude={"seed"})

    with ctrl_c() as asked_to_stop, _progress() as show:

        def on_event(event: "TrainingEvent") -> None:
            show(event)
            if asked_to_stop.is_set() and event.status in {"preparing", "training"}:
                raise KeyboardInterrupt

        try:
            models = cm.train_members(law, seeds=seeds, on_event=on_event, **chosen)
        except KeyboardInterrupt:
            say("Runs trained together are kept only once they are done.", err=True)
            raise
    summaries = []
    for seed, model in zip(seeds, models, strict=True):
        cm.save(model, folder / f"seed-{seed}")
        _, loss, quality = model.history[-1] if model.history else (0, math.nan, math.nan)
        summaries.append(_summary(model, folder / f"seed-{seed}", "", loss, quality))
    write_json(summaries) if as_json else say("\n".join(map(_in_a_line, summaries)))
    lost = [str(seed) for seed, model in zip(seeds, models, strict=True) if model.status == "diverged"]
    if lost:
        raise Failed(f"Diverged: seed {', '.join(lost)}. Their last good weights are kept; a smaller rate helps.")


def _law(name: str | None, earlier: "TrainedModel | None", options: dict[str, Any]) -> "Target":
    """The target that was named, or the one that the earlier run learned."""
    parameters = parse_parameters(options["parameter"])
    parameters |= {key: options[key] for key in ("density", "bandwidth") if options[key] is not None}
    if name is None:
        if earlier is None:
            raise click.UsageError("Name a target or a file, or continue a run with --resume.")
        if earlier.target is None:
            raise BadInput("This run does not carry its target: name it beside --resume.")
        return earlier.target
    if Path(name).suffix.lower() in TABLES:
        columns = next(csv.reader([options["columns"]], skipinitialspace=True)) if options["columns"] else None
        taken = [name for name, each in signature(cm.read_table).parameters.items() if each.kind is each.KEYWORD_ONLY]
        if unknown := [name for name in parameters if name not in taken]:
            raise BadInput(f"Tables have no parameter {unknown[0][:40]!r}. Their parameters: {', '.join(taken)}.")
        return cm.read_table(name, columns, **parameters)
    if options["columns"]:
        raise BadInput(f"--columns is for CSV and Parquet files, and {name!r} is none.")
    return cm.make_target(name, **parameters)


def _name(target: str | None) -> str:
    return Path(target or "run").stem


def _config(earlier: "TrainedModel | None", options: dict[str, Any]) -> "cm.TrainingConfig":
    """What was asked for on top of the defaults, or of the earlier run's own settings."""
    given = {name: value for name, value in options.items() if value is not None}
    chosen = {name: given[name] for name in cm.TrainingConfig.model_fields if name in given}
    network = {name: given[name] for name in cm.NetworkConfig.model_fields if name in given}
    parameters = parse_parameters(options["objective_parameter"])
    if "steps" in chosen and "seconds" in chosen:
        raise click.UsageError("Give --steps or --seconds, not both.")
    if options["seeds"]:
        if "seed" in chosen or earlier is not None:
            raise click.UsageError("--seeds stands alone: without --seed, and without --resume.")
        chosen["seed"] = options["seeds"][0]
    if earlier is not None:
        if set(chosen) - {"steps", "seconds", "device"} or parameters or network:
            raise click.UsageError(
                "A run goes on with its own settings: beside --resume only --steps, --seconds and --device."
            )
        if budget := {key: chosen[key] for key in ("steps", "seconds") if key in chosen}:
            config = cm.continuation(earlier, **budget)
        elif earlier.status == "finished":
            raise BadInput("This run is finished: give it more with --steps or --seconds.")
        else:
            config = earlier.config
        device = chosen.get("device", config.device)
        return config.model_copy(update={"device": device})
    if not {"steps", "seconds"} & set(chosen):
        chosen["steps"] = DEFAULT_STEPS
    return cm.TrainingConfig(**chosen, objective_parameters=parameters, network=cm.NetworkConfig(**network))


@contextmanager
def _progress() -> Iterator[Callable[["TrainingEvent"], None]]:
    """Shows events on standard error: the device once, and a bar when a person is watching."""
    bar = click.progressbar(length=1000, file=sys.stderr, hidden=not sys.stderr.isatty(), show_eta=False)
    shown: set[str] = set()

    def show(event: "TrainingEvent") -> None:
        preparing, where = event.status == "preparing", f"Training on {event.device}."
        words = f"Preparing: {event.message.partition(', ')[0]}." if preparing else where
        if words not in shown:
            say(words, err=True)
            shown.add(words)
        if preparing:
            bar.label = event.message
            bar.update(0)
            return
        share = event.step / event.steps if event.steps else 0.0
        left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
        numbers = figures(event.loss, "loss") + figures(event.quality, "jump error")
        bar.label = f"step {event.step:,}{numbers}{left}"
        bar.update(max(0, int(1000 * share) - bar.pos))

    with bar:
        yield show


def _summary(model: "TrainedModel", folder: Path, message: str, loss: float, quality: float) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "target": None if model.target is None else model.target.name,
        "dim": model.dim,
        "status": model.status,
        "message": message,
        "steps": model.steps,
        "seconds": round(model.seconds, 3),
        "loss": loss,
        "jump_error": quality,
        "delta": model.delta,
        "horizon": model.horizon,
        "device": model.device,
        "config": model.config.model_dump(),
    }


def _in_words(summary: dict[str, Any]) -> str:
    numbers = figures(summary["loss"], "loss") + figures(summary["jump_error"], "error of one jump T → δ")
    return (
        f"{summary['target']}: {summary['steps']:,} steps in {summary['seconds']:.1f} s on {summary['device']}, "
        f"{summary['status']}{numbers}.\n"
        f"Kept in {summary['folder']}."
    )


def _in_a_line(summary: dict[str, Any]) -> str:
    numbers = figures(summary["loss"], "loss") + figures(summary["jump_error"], "error of one jump T → δ")
    return f"{summary['folder']}: {summary['steps']:,} steps, {summary['status']}{numbers}."
