"""`cmcore app`: open the lab in the browser."""

import os
import runpy
import socket
import sys
from pathlib import Path

import click

from cmcore.cli.outcome import BadInput
from cmcore.files import LAB

PAGE, SERVER = LAB / "streamlit_app.py", LAB / "hosted.py"


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--browser/--no-browser", default=True, help="Whether to open a browser window.")
@click.option("--keep", type=click.Path(path_type=Path), help="The folder that runs are kept in; as a rule your own.")
@click.option("--hosted", is_flag=True, help="With the limits and headers of a server for strangers; opens no browser.")
def app(port: int, browser: bool, keep: Path | None, hosted: bool) -> None:
    """Open the lab in the browser; Ctrl-C closes it.

    Runs are kept in the user's data folder, or where CONSISTENCY_LAB_KEPT says; empty, it says nowhere.
    """
    if not _is_free(port):
        words = f"Port {port} is taken, perhaps by a lab that is open already: http://localhost:{port}."
        raise BadInput(f"{words} For another: make app PORT={port + 1}, or cmcore app --port {port + 1}.")
    if keep is not None:
        os.environ["CONSISTENCY_LAB_KEPT"] = str(keep.absolute())
    options = ["--server.port", str(port)]
    if hosted:  # it sets up its process before any library is loaded, so it gets this one anew
        os.execv(sys.executable, [sys.executable, str(SERVER), *options])  # noqa: S606  nobody else wrote these words
    if not browser:  # without a screen Streamlit opens none by itself
        options += ["--server.headless", "true"]
    sys.argv = ["streamlit", "run", str(PAGE), *options]
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
