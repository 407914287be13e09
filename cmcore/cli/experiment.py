"""`cmcore experiment`: run an experiment, with every field of its config as an option."""

import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmcore.cli.options import option
from cmcore.cli.outcome import BadInput, say, table, write_json

if TYPE_CHECKING:
    from cmcore.experiments import Experiment, Progress, Result


class _Experiments(click.Group):
    """A command for each registered experiment, made when first asked for: the engine loads torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from cmcore.experiments import EXPERIMENTS

        return list(EXPERIMENTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from cmcore.experiments import EXPERIMENTS

        name = cmd_name.replace("-", "_")
        return _command(name, EXPERIMENTS[name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        return args[0], command, args[1:]


@click.command(cls=_Experiments)
def experiment() -> None:
    """Ask one of the questions of the theory, and print fits, reading and table."""


def _command(name: str, kind: "type[Experiment]") -> click.Command:
    """The command of one experiment: an option for each field of its config."""

    def ask(out: Path | None, as_json: bool, as_csv: bool, **given: Any) -> None:
        if out and out.suffix not in {".json", ".csv"}:
            raise BadInput(f"A result is written to .json or .csv; got {out.name!r}.")
        question = kind(**{field: value for field, value in given.items() if value is not None})
        with _shown() as show:
            result = question.run(show)
        if out:
            from cmcore.files import write_atomically

            write_atomically(out, (result.to_csv() if out.suffix == ".csv" else result.to_json()).encode())
        if as_json:
            write_json(result.model_dump())
        else:
            say(result.to_csv() if as_csv else in_words(kind, result), nl=not as_csv)

    from cmcore.settings import settings_of

    options = [
        click.Option(["--out"], type=click.Path(path_type=Path), help="Keep the result in a .json or .csv file."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."),
        click.Option(["--csv", "as_csv"], is_flag=True, help="Print every point as a CSV table."),
    ]
    chosen = [option(setting) for setting in settings_of(kind)]
    words = f"{kind.code}. {kind.question}\n\n{kind.expects}"
    return click.Command(
        name, params=[*chosen, *options], callback=ask, help=words, short_help=f"{kind.code}: {kind.label}"
    )


class _shown:  # noqa: N801  a context manager that reads like a function
    """A progress bar on standard error, where a person looks on."""

    def __enter__(self) -> typing.Callable[["Progress"], None]:
        self.bar = click.progressbar(length=1000, file=sys.stderr, hidden=not sys.stderr.isatty(), item_show_func=str)
        self.bar.__enter__()
        return self.show

    def show(self, progress: "Progress") -> None:
        self.bar.update(max(0, round(1000 * progress.share) - self.bar.pos), progress.words)

    def __exit__(self, *raised: object) -> None:
        self.bar.__exit__(None, None, None)


def in_words(kind: "type[Experiment]", result: "Result") -> str:
    """The result as text: question, expectation, fits and reading."""
    rows = [
        (
            fit.label,
            f"{fit.slope:.4g}",
            f"[{fit.low:.4g}, {fit.high:.4g}]",
            "—" if fit.expected is None else f"{fit.expected:.4g}",
            f"{fit.over[0]:.3g} … {fit.over[1]:.3g}",
            fit.note,
        )
        for fit in result.fits
    ]
    fits = table(("slope of", "found", "95 % interval", "expected", "over", ""), rows) if rows else ""
    parts = (f"{kind.code} {kind.label}. {kind.question}", f"Expected: {kind.expects}", fits, result.reading)
    return "\n\n".join(part for part in parts if part)
