"""Processes that are forked off one which has loaded the lab: to load it takes three seconds of a core each time."""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["streamlit.web.cli", "uvicorn", "app.main", "app.hosting.guards", "app.pages.explore.page", "app.pages.train.page"]
)


class Forked(ForkServerProcess):
    """A process with the words of `subprocess.Popen`, which ends with the tests."""

    def __init__(self, work: Callable, *arguments: Any) -> None:
        super().__init__(target=work, args=arguments, daemon=True)
        with pytest.MonkeyPatch.context() as patch:
            # It runs no main program first: Streamlit's tests leave theirs behind in its place.
            patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
            self.start()

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self, timeout: float | None = None) -> None:
        self.join(timeout)


def python(words: list[str], folder: Path, variables: Mapping[str, str], log: Path) -> Forked:
    """What `python WORDS` is in this folder, with these variables of the environment; what it says goes to the log."""
    return Forked(_become, words, folder, dict(variables), log)


def _become(words: list[str], folder: Path, variables: dict[str, str], log: Path) -> None:
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = words if words[0] not in ("-m", "-c") else words[1:]
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        exec(words[1], {"__name__": "__main__"})
    else:
        runpy.run_path(words[0], run_name="__main__")
