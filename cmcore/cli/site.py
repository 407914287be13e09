"""`cmcore site`: the lab as static pages, which need no server."""

import sys
from importlib import import_module
from pathlib import Path

import click

from cmcore.cli.outcome import say


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of a run, with its curves.json where there is one; several times for several runs.",
)
@click.option(
    "--lab",
    default="http://localhost:8501",
    show_default=True,
    metavar="ADDRESS",
    help="Where “Open in the lab” leads; by default where `cmcore app` opens.",
)
def site(folder: Path, runs: tuple[Path, ...], lab: str) -> None:
    """Write the lab into FOLDER as static pages: open FOLDER/index.html, or put the folder on any web server.

    The pages hold the shipped runs, or those named by --run, with the KL that was measured of them, the paper's claims,
    the shipped answers, and every lesson. They work from a file and without a network.
    """
    with click.progressbar(length=1, file=sys.stderr, hidden=not sys.stderr.isatty(), label="Writing") as bar:

        def report(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        # The engine knows nothing of the screen: it starts the page's own command, by name.
        written = import_module("app.site.command").write_site(folder, runs=runs, lab=lab, report=report)
    for warning in written.warnings:
        say(warning, err=True)
    say(f"{written.pages} pages, {written.size / 1e6:.1f} MB: {folder / 'index.html'}")
