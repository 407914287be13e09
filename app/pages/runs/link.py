"""The link of Runs: which runs are compared, and how they are drawn."""

from collections.abc import Iterator

from app.runs.library import runs
from app.sharing.link import PageLink, Parameter
from app.sharing.readers import one_of, read_seed, several_of
from app.stage.scene import STEPS


def _parameters() -> Iterator[Parameter]:
    yield Parameter("runs", "compared", several_of(runs, "the run"), list(runs())[:2])  # so that there is something
    yield Parameter("n", "compared_steps", one_of(lambda: STEPS, "N"), 4)
    yield Parameter("seed", "compared_seed", read_seed, 0)


RUNS_LINK = PageLink("runs", _parameters, selection="compared")
