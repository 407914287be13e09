"""The runs a visitor can look at: those shipped with the lab, and those trained in this session."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import streamlit as st

import cmcore as cm
from app import state
from app.background.pools import reading_workers
from app.background.task import Report, Task
from app.hosting.limits import limits
from app.quoting import file_stem, one_line
from app.runs import disk, memory, visitor
from cmcore.files import LAB, read_plain
from cmcore.json_input import parse_json
from cmcore.targets import GALLERY

FIRST = "eight_gaussians"
"""The run that the lab opens on."""
SHIPPED = LAB / "assets" / "pretrained"
FULL = "The lab's memory for runs is full."
LONGEST_NAME = 60
"""Characters of what people call a run."""
LARGEST_CURVES, MOST_VALUES = 16 << 20, 1 << 19
"""Of the curves beside a shipped run: bytes, and values."""
LONGEST_LABEL = 120
"""Characters of what a run is called after a file, or after the run that it continues."""
OPENING: Task[list[disk.Kept]] = Task("runs", reading_workers)


@dataclass(frozen=True)
class Run:
    """A trained model as the pages speak of it.

    Attributes:
        key: names it in links and caches; two runs never share one.
        label: for people; one line of printable characters, whatever it was made from.
        model: the trained model with its target.
        curves: precomputed KL curves by name, where there are some.
        shipped: whether it came with the lab.
    """

    key: str
    label: str
    model: cm.TrainedModel
    curves: Mapping[str, cm.Curve] = field(default_factory=dict)
    shipped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", one_line(self.label, LONGEST_LABEL) or file_stem(self.key))

    @property
    def target(self) -> cm.Target:
        if self.model.target is None:
            raise ValueError(f"The run {self.label} does not carry its target, so there is no truth to compare with.")
        return self.model.target


def runs() -> Mapping[str, Run]:
    """Runs by key: pinned ones first, then the shipped, then this session's own, newest last; hidden ones left out."""
    pinned, hidden = state.session_dict("pinned"), state.session_dict("hidden")
    shown = {key: run for key, run in all_runs().items() if key not in hidden}
    return dict(sorted(shown.items(), key=lambda item: item[0] not in pinned))


def first_run() -> str:
    """Key of the run shown before anybody chose one: the lab's first, where it is not hidden."""
    known = runs()
    return FIRST if FIRST in known else next(iter(known), FIRST)


def all_runs() -> Mapping[str, Run]:
    """The same with those that were hidden, and in the order in which they came."""
    return {**runs_in(os.environ.get("CONSISTENCY_LAB_RUNS", str(SHIPPED))), **own_runs()}


def own_runs() -> dict[str, Run]:
    """What was trained or brought in by this visitor; after a reload, as the server kept it."""
    own = state.session_dict("runs")
    if state.first_time("kept runs"):
        for found in _kept():
            own.setdefault(found.key, Run(found.key, found.label, found.model))
            if found.pinned:
                state.session_dict("pinned")[found.key] = True
        _let_oldest_go(own)
    return own


def _kept() -> list[disk.Kept]:
    """The runs that the server kept; where too many visitors wait for theirs, none yet, and the page asks anew."""
    token = visitor.token()
    if disk.root() is None or not_opened():
        return []
    state.set_value("runs wait", memory.is_full())
    try:
        opened = None if memory.is_full() else OPENING.wait(token, partial(_open, token), "Opening your runs", _decline)
    except ValueError:
        opened = None
    except BaseException:  # the page was left, or runs anew
        state.forget_first_time("kept runs")
        raise
    if opened is None:
        state.forget_first_time("kept runs")
    OPENING.forget()
    return opened or []


def _open(token: str, report: Report[list[disk.Kept]]) -> list[disk.Kept]:
    opened = []
    for run in disk.kept(token):
        opened.append(run)
        report(0.0, "Opening your runs.")
    return opened


def _decline() -> None:
    state.set_value("runs not opened", new=True)


def not_opened() -> bool:
    """Whether the visitor did not wait for the runs that the server kept."""
    return bool(state.value("runs not opened"))


def open_kept_runs() -> None:
    """Open them after all, with the next look."""
    state.set_value("runs not opened", new=False)
    state.forget_first_time("kept runs")


def new_key(name: str) -> str:
    """A key that no run has in any session, since caches are shared by all of them."""
    return f"{file_stem(name, 40)}-{uuid.uuid4().hex[:8]}"


def add_run(name: str, label: str, model: cm.TrainedModel, *, key: str = "") -> Run:
    """Keep a run of this visitor. One that the server kept already under this key stays called as it is there."""
    own = own_runs()
    key = key or new_key(name)
    run = Run(key, own[key].label if key in own else label, model)
    own[run.key] = run
    _let_oldest_go(own)
    keep(run)
    return run


def _let_oldest_go(own: dict[str, Run]) -> None:
    """Take a session's runs back to within its bounds, in number and in bytes."""
    now = limits()
    sizes = {key: memory.count(run.model) for key, run in own.items()}
    while len(own) > 1 and (len(own) > now.runs or sum(sizes.values()) > now.runs_of_one << 20):
        key = _first_to_go(own)
        del own[key], sizes[key]


def _first_to_go(own: Mapping[str, Run]) -> str:
    """The oldest run that is not pinned, or the oldest of all, as on the disk; never the newest."""
    *older, _ = own
    return next((key for key in older if key not in state.session_dict("pinned")), older[0])


def keep(run: Run) -> None:
    """Let the server keep a run of one's own as it is called now, if it can."""
    pinned, failed = run.key in state.session_dict("pinned"), state.session_dict("not kept")
    try:
        disk.keep(visitor.token(), disk.Kept(run.key, run.label, pinned, run.model))
        failed.pop(run.key, None)
    except disk.NotKept as problem:
        failed[run.key] = str(problem)


def not_kept() -> str:
    """Which runs of one's own a reload would lose, or that they wait; empty where all are kept and there."""
    if state.value("runs wait"):
        return f"{FULL} Yours open as soon as others have left."
    failed = state.session_dict("not kept")
    lost = [key for key in own_runs() if key in failed]
    if not lost:
        return ""
    which = own_runs()[lost[0]].label if len(lost) == 1 else f"{len(lost)} runs"
    return f"The server could not keep {which}: {failed[lost[-1]]}. Export what you need before you close this page."


@st.cache_resource(show_spinner=False, max_entries=4)
def runs_in(folder: str) -> Mapping[str, Run]:
    """The runs in the folders of `folder`, by the names of these."""
    folders = sorted((path.parent for path in Path(folder).glob("*/run.json")), key=lambda f: (f.name != FIRST, f.name))
    return {folder.name: _load(folder) for folder in folders}


def _load(folder: Path) -> Run:
    model = cm.load(folder)
    try:
        content = read_plain(folder / "curves.json", LARGEST_CURVES)
        named = parse_json(content, largest=LARGEST_CURVES, most_values=MOST_VALUES)
    except FileNotFoundError:
        named = {}
    curves = {name: cm.Curve.from_json(json.dumps(value)) for name, value in named.items()}
    toy = GALLERY.get(folder.name)
    return Run(folder.name, toy.label if toy else folder.name.replace("_", " "), model, curves, shipped=True)
