"""The list of runs, and how a run is deleted or imported."""

import hashlib
import re
from dataclasses import dataclass

from app.background.pools import reading_workers
from app.background.task import Report, Task
from app.hosting.limits import limits
from app.quoting import one_line
from app.runs import memory, visitor
from app.runs.disk import LARGEST_RESULT
from app.runs.external import External
from app.runs.library import FULL, LONGEST_NAME, Run, add_run, all_runs, library, own_runs
from app.training import registry
from cmcore.costs import RunCost
from cmcore.model import TrainedModel
from cmcore.store import BadRun, ExternalResult, ReadLimits, external_from_zip, from_zip, is_external
from cmcore.targets import GALLERY

MOST_BYTES = LARGEST_RESULT
"""What one file of a run, or of a result, that is brought in may unfold to."""
IMPORT: Task[TrainedModel | ExternalResult] = Task("import", reading_workers, resumes=False)


@dataclass(frozen=True)
class Entry:
    """A run in the ledger, and whether it is pinned or hidden."""

    run: Run
    pinned: bool
    hidden: bool


def entries() -> list[Entry]:
    """Pinned runs, then one's own, newest first, then those shipped."""
    now = library()
    ordered = {**dict(reversed(now.own.items())), **all_runs()}
    listed = [Entry(run, key in now.pinned, key in now.hidden) for key, run in ordered.items()]
    return sorted(listed, key=lambda entry: not entry.pinned)


def delete(key: str) -> None:
    """Delete a run of one's own, and what its training left with the server."""
    if key in own_runs():
        library().delete(key)
        registry.forget(visitor.token(), key)


# ---- from a file ------------------------------------------------------------------------------------------------
def bring_in(file_name: str, content: bytes) -> Run | External | None:
    """The run in a zip, or the result from elsewhere, as one's own; None while it is being read.

    BadRun says in a sentence what is wrong.
    """
    now = limits()
    if memory.is_full():
        raise BadRun(f"{FULL} Try again in a few minutes.")
    # Where strangers come, what training goes on with was made elsewhere, and is not trained on here.
    bounds = ReadLimits(MOST_BYTES, now.reports, resumable=not now.hosted, check=_check)

    def read(_: Report[TrainedModel | ExternalResult]) -> TrainedModel | ExternalResult:
        if is_external(content):
            return external_from_zip(content, largest=MOST_BYTES, check=now.check_result)
        return from_zip(content, limits=bounds)

    try:
        model = IMPORT.get(hashlib.sha256(content).hexdigest(), read)
    except ValueError as problem:
        raise BadRun(str(problem)) from None
    if model is None:
        return None
    IMPORT.forget()
    if isinstance(model, ExternalResult):
        return library().add_result(model, content)
    label = one_line(re.sub(r"(-[0-9a-f]{8})?(\.zip)?$", "", file_name).replace("_", " "), LONGEST_NAME)
    config = model.target.config if model.target else None
    toy = GALLERY.get(config.name) if config else None
    if toy and label.lower() == str(config.name if config else "").replace("_", " "):
        label = toy.label
    return add_run(config.name if config else "imported", label or "A run brought in", model)


def _check(cost: RunCost) -> None:
    """What the pages can show, and in bounded time."""
    if cost.target is None:
        raise BadRun("The run does not carry its target, so there is no truth to compare it with.")
    limits().check_run(cost)
