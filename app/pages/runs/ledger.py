"""What a visitor does with the runs: pin, name, remove and bring back, hide, bring in from a file."""

import hashlib
import re
from dataclasses import dataclass, replace

from app import state
from app.background.pools import reading_workers
from app.background.task import Task
from app.hosting.limits import limits
from app.quoting import one_line
from app.runs import disk, memory, visitor
from app.runs.library import FULL, LONGEST_NAME, Run, add_run, all_runs, keep, own_runs
from app.training import registry
from cmcore.costs import RunCost
from cmcore.model import TrainedModel
from cmcore.store import BadRun, ReadLimits, from_zip
from cmcore.targets import GALLERY

MOST_BYTES = 16 << 20
"""What one file of a run that is brought in may unfold to."""
IMPORT: Task[TrainedModel] = Task("import", reading_workers, resumes=False)


@dataclass(frozen=True)
class Entry:
    """A run in the ledger, and whether it is pinned or hidden."""

    run: Run
    pinned: bool
    hidden: bool


def entries() -> list[Entry]:
    """Pinned runs, then one's own, newest first, then those shipped."""
    pinned, hidden = state.session_dict("pinned"), state.session_dict("hidden")
    own = list(own_runs())
    known = {**{key: own_runs()[key] for key in reversed(own)}, **all_runs()}
    told = [Entry(run, key in pinned, key in hidden) for key, run in known.items()]
    return sorted(told, key=lambda entry: not entry.pinned)


def pin(key: str, *, pinned: bool) -> None:
    """Put a run before the others, or back among them."""
    if pinned:
        state.session_dict("pinned")[key] = True
    else:
        state.session_dict("pinned").pop(key, None)
    if key in own_runs():
        keep(own_runs()[key])


def rename(key: str, label: str) -> None:
    """Give a run of one's own another name; an empty one changes nothing."""
    label = one_line(label, LONGEST_NAME)
    if label and key in own_runs():
        own_runs()[key] = replace(own_runs()[key], label=label)
        keep(own_runs()[key])


def hide(key: str) -> None:
    """Leave a run out everywhere but in the ledger."""
    state.session_dict("hidden")[key] = True


def show(key: str) -> None:
    """Undo :func:`hide`."""
    state.session_dict("hidden").pop(key, None)


# ---- gone, and back again ---------------------------------------------------------------------------------------
def remove(key: str) -> None:
    """Delete a run of one's own, here and on the server's disk. The last one deleted can be had back."""
    own = own_runs()
    if key in own:
        state.set_value("removed run", (own.pop(key), key in state.session_dict("pinned")))
        state.session_dict("pinned").pop(key, None)
        registry.forget(visitor.token(), key)
        disk.forget(visitor.token(), key)


def removed() -> Run | None:
    """The run that was deleted last, while it can be had back."""
    told = state.value("removed run")
    return told[0] if told else None


def undo() -> None:
    """Bring it back, as the newest."""
    told = state.value("removed run")
    if not told:
        return
    run, pinned = told
    own_runs()[run.key] = run
    if pinned:
        state.session_dict("pinned")[run.key] = True
    keep(run)
    state.set_value("removed run", None)


# ---- from a file ------------------------------------------------------------------------------------------------
def bring_in(file_name: str, content: bytes) -> Run | None:
    """The run in a zip, as one of one's own; None while it is being read. BadRun says in a sentence what is wrong."""
    now = limits()
    if memory.is_full():
        raise BadRun(f"{FULL} Try again in a few minutes.")
    # Where strangers come, what training goes on with was made elsewhere, and is not trained on here.
    bounds = ReadLimits(MOST_BYTES, now.reports, resumable=not now.hosted, check=_check)
    try:
        model = IMPORT.get(hashlib.sha256(content).hexdigest(), lambda _: from_zip(content, limits=bounds))
    except ValueError as problem:
        raise BadRun(str(problem)) from None
    if model is None:
        return None
    IMPORT.forget()
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
