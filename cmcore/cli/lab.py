"""`cmcore app`: open the lab in the browser."""

import subprocess
import sys
from pathlib import Path

import click

from cmcore.cli.outcome import BadInput

__all__ = ["app"]

PAGE = Path(__file__).parents[2] / "streamlit_app.py"


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--browser/--no-browser", default=True, help="Whether to open a browser window.")
def app(port: int, browser: bool) -> None:
    """Open the lab in the browser; Ctrl-C closes it."""
    if not PAGE.exists():
        raise BadInput("The page is not installed with the engine: run this from a checkout, after `make venv`.")
    options = ["--server.port", str(port), "--server.headless", "false" if browser else "true"]
    ended = subprocess.run([sys.executable, "-m", "streamlit", "run", str(PAGE), *options], check=False)  # noqa: S603  our own words alone
    click.get_current_context().exit(ended.returncode)
