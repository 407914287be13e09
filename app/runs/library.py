"""The runs a visitor can look at: those shipped with the lab, and those trained or imported in this session."""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import streamlit as st

import cmcore as cm
from app import state
from app.background.pools import reading_workers
from app.background.task import Report, Task
from app.hosting.limits import limits
from app.quoting import file_stem, one_line
from app.runs import disk, memory, visitor
from app.runs.external import External, make_external
from app.runs.run import Run
from cmcore.files import LAB, read_plain
from cmcore.json_input import parse_json
from cmcore.store import BadRun, ExternalResult, external_from_zip
from cmcore.targets import GALLERY

LEADING = ("gaussian_grid", "eight_gaussians")
"""Shipped runs before the others; the lab opens on the first that is there."""
SHIPPED = LAB / "assets" / "pretrained"
FULL = "The lab's memory for runs is full."
LONGEST_NAME = 60
"""Characters of what people call a run."""
LARGEST_CURVES, MOST_VALUES = 16 << 20, 1 << 19
"""Of the curves beside a shipped run: bytes, and values."""
Opened = disk.StoredRun | External
"""What a reload finds of a visitor's own."""
OPENING: Task[list[Opened]] = Task("runs", reading_workers)


@dataclass
class Library:
    """The runs of a visitor in this session, and what was done with runs.

    Attributes:
        own: trained or imported here, or opened from the server's disk; by key, oldest first.
        results: from elsewhere, brought in here or opened from the disk; by key, oldest first.
        pinned, hidden: keys of runs, shipped ones too.
        unsaved: why the server's disk does not have a run or a result, by key.
        deleted: the run that was deleted last, while that can be undone.
        stored: whether the runs on the disk are still to open, are open, wait for memory, or were declined.
    """

    own: dict[str, Run] = field(default_factory=dict)
    results: dict[str, External] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    unsaved: dict[str, str] = field(default_factory=dict)
    deleted: Run | None = None
    stored: Literal["to open", "open", "waiting", "declined"] = "to open"

    # ---- what a visitor does with a run -------------------------------------------------------------------------
    def add(self, run: Run) -> None:
        """Take in a run of the visitor's own, and store it; the oldest make room."""
        self.own[run.key] = run
        self.make_room()
        self.store(run)

    def pin(self, key: str, *, pinned: bool) -> None:
        """Put a run before the others, or back among them."""
        (self.pinned.add if pinned else self.pinned.discard)(key)
        if key in self.own:
            self.store(self.own[key])

    def rename(self, key: str, label: str) -> None:
        """Give a run of one's own another name; an empty one changes nothing."""
        label = one_line(label, LONGEST_NAME)
        if label and key in self.own:
            self.own[key] = replace(self.own[key], label=label)
            self.store(self.own[key])

    def delete(self, key: str) -> None:
        """Delete a run of one's own, here and on the disk; the last one can be had back."""
        self.deleted = self.own.pop(key)
        disk.delete(visitor.token(), key)

    def undo(self) -> None:
        """Bring the deleted run back, as the newest."""
        if self.deleted is not None:
            self.add(self.deleted)
            self.deleted = None

    # ---- what a visitor does with a result from elsewhere -------------------------------------------------------
    def add_result(self, result: ExternalResult, content: bytes) -> External:
        """Take in what the bytes of a zip hold, and store them. BadRun where there are as many as there may be."""
        one = make_external(result, content, self.results)
        if one.key in self.results:
            return self.results[one.key]
        if len(self.results) >= limits().results:
            raise BadRun(f"You hold {len(self.results)} results from elsewhere, and there may be no more: remove one.")
        self.results[one.key] = one
        self._store(disk.StoredResult(one.key, one.label, content))
        return one

    def remove_result(self, key: str) -> None:
        """Forget a result, here and on the disk."""
        if self.results.pop(key, None):
            self.unsaved.pop(key, None)
            disk.delete(visitor.token(), key)

    # ---- memory and disk ----------------------------------------------------------------------------------------
    def make_room(self) -> None:
        """Take the session's runs back to within its bounds, in number and in bytes; the newest always stays."""
        now = limits()
        sizes = {key: memory.count(run.model) for key, run in self.own.items()}
        while len(self.own) > 1 and (len(self.own) > now.runs or sum(sizes.values()) > now.runs_of_one << 20):
            *older, _ = self.own
            key = next((key for key in older if key not in self.pinned), older[0])  # as on the disk
            del self.own[key], sizes[key]

    def store(self, run: Run) -> None:
        """Let the server store a run as it is called now, if it can."""
        self._store(disk.StoredRun(run.key, run.label, run.key in self.pinned, run.model))

    def _store(self, one: disk.StoredRun | disk.StoredResult) -> None:
        try:
            disk.store(visitor.token(), one)
            self.unsaved.pop(one.key, None)
        except disk.NotStored as problem:
            self.unsaved[one.key] = str(problem)

    def open_stored(self) -> None:
        """Open the runs on the server's disk. While others wait for theirs there are none, and the page asks anew."""
        token = visitor.token()
        if disk.root() is None:
            self.stored = "open"
            return
        self.stored = "waiting" if memory.is_full() else "to open"
        if self.stored == "waiting":
            return
        try:
            opened = OPENING.wait(token, partial(_read_stored, token), "Opening your runs", self.decline)
        except ValueError:
            opened = None
        OPENING.forget()
        if opened is None:
            return
        self.stored = "open"
        for each in opened:
            if isinstance(each, External):
                self.results.setdefault(each.key, each)
                continue
            self.own.setdefault(each.key, Run(each.key, each.label, each.model))
            if each.pinned:
                self.pinned.add(each.key)
        self.make_room()

    def decline(self) -> None:
        """The visitor does not wait for the runs on the disk."""
        self.stored = "declined"

    def open_after_all(self) -> None:
        """Open them with the next look."""
        self.stored = "to open"

    def warning(self) -> str:
        """Which runs of one's own a reload would lose, or that they wait; empty where all are stored and open."""
        if self.stored == "waiting":
            return f"{FULL} Yours open as soon as others have left."
        kept = {**self.own, **self.results}
        lost = [key for key in kept if key in self.unsaved]
        if not lost:
            return ""
        which = kept[lost[0]].label if len(lost) == 1 else f"{len(lost)} runs and results"
        why = self.unsaved[lost[-1]]
        return f"The server could not keep {which}: {why}. Export what you need before you close this page."


def library() -> Library:
    """This session's library."""
    if state.value("library") is None:
        state.set_value("library", Library())
    runs: Library = state.value("library")
    if runs.stored in ("to open", "waiting"):
        runs.open_stored()
    return runs


def _read_stored(token: str, report: Report[list[Opened]]) -> list[Opened]:
    opened: list[Opened] = []
    for one in (*disk.stored(token), *_read_results(token)):
        opened.append(one)
        report(0.0, "Opening your runs.")
    return opened


def _read_results(token: str) -> Iterator[External]:
    """The results from elsewhere, each read as if it had just been brought in."""
    for one in disk.stored_results(token):
        with suppress(ValueError):  # a limit of this server may be another one now
            result = external_from_zip(one.content, largest=disk.LARGEST_RESULT, check=limits().check_result)
            yield External(one.key, one.label, result)


def runs() -> Mapping[str, Run]:
    """Runs by key: pinned ones first, then the shipped, then this session's own, newest last; hidden ones left out."""
    now = library()
    shown = {key: run for key, run in all_runs().items() if key not in now.hidden}
    return dict(sorted(shown.items(), key=lambda item: item[0] not in now.pinned))


def first_run() -> str:
    """Key of the run shown before anybody chose one: the lab's first, where it is not hidden."""
    offered = runs()
    return next((key for key in LEADING if key in offered), next(iter(offered), LEADING[0]))


def all_runs() -> Mapping[str, Run]:
    """The same with those that were hidden, and in the order in which they came."""
    return {**shipped_runs(), **own_runs()}


def shipped_runs() -> Mapping[str, Run]:
    """The runs that come with the lab, or those of the folder that CONSISTENCY_LAB_RUNS names."""
    return runs_in(os.environ.get("CONSISTENCY_LAB_RUNS", str(SHIPPED)))


def own_runs() -> dict[str, Run]:
    """What was trained or imported by this visitor; after a reload, as the server stored it."""
    return library().own


def externals() -> Mapping[str, External]:
    """The results from elsewhere of this visitor, oldest first."""
    return library().results


def new_key(name: str) -> str:
    """A key that no run has in any session, since caches are shared by all of them."""
    return f"{file_stem(name, 40)}-{uuid.uuid4().hex[:8]}"


def add_run(name: str, label: str, model: cm.TrainedModel, *, key: str = "") -> Run:
    """A new run of this visitor. One that the server stored already under this key stays called as it is there."""
    own, key = own_runs(), key or new_key(name)
    run = Run(key, own[key].label if key in own else label, model)
    library().add(run)
    return run


@st.cache_resource(show_spinner=False, max_entries=4)
def runs_in(folder: str) -> Mapping[str, Run]:
    """The runs in the folders of `folder`, by the names of these."""
    folders = sorted((path.parent for path in Path(folder).glob("*/run.json")), key=_rank)
    return {folder.name: replace(read_run(folder), shipped=True) for folder in folders}


def _rank(folder: Path) -> tuple[int, str]:
    return (LEADING.index(folder.name) if folder.name in LEADING else len(LEADING), folder.name)


def read_run(folder: Path) -> Run:
    """The run in a folder, with the curves in its curves.json; ValueError or OSError where there is none."""
    model = cm.load(folder)
    try:
        content = read_plain(folder / "curves.json", LARGEST_CURVES)
        named = parse_json(content, largest=LARGEST_CURVES, most_values=MOST_VALUES)
    except FileNotFoundError:
        named = {}
    curves = {name: cm.Curve.from_json(json.dumps(value)) for name, value in named.items()}
    toy = GALLERY.get(folder.name)
    return Run(folder.name, toy.label if toy else folder.name.replace("_", " "), model, curves)
