"""`cmcore app`: open the lab in the browser."""

import os
import runpy
import socket
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
    if not _is_free(port):
        words = f"Port {port} is taken, perhaps by a lab that is open already: http://localhost:{port}."
        raise BadInput(f"{words} For another: make app PORT={port + 1}, or cmcore app --port {port + 1}.")
    if not PAGE.exists():
        raise BadInput("The page is not installed with the engine: run this from a checkout, after `make venv`.")
    os.chdir(PAGE.parent)  # its settings lie beside it
    options = [] if browser else ["--server.headless", "true"]  # without a screen Streamlit opens none by itself
    sys.argv = ["streamlit", "run", str(PAGE), "--server.port", str(port), *options]
    runpy.run_module("streamlit", run_name="__main__")  # in this process, so that what ends it ends the server too


def _is_free(port: int) -> bool:
    """Whether a server may listen there."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just been closed is free
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True
