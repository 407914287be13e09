"""Answers to the lab's questions: those it ships with, and those measured in this session in the background."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app import state
from app.jobs import JobView, Workers, freeze_imports
from app.limits import limits
from cmcore.experiments import EXPERIMENTS, Experiment, Progress, Result

__all__ = ["Asked", "answer_workers", "ask", "asked", "first_choices", "known_answer", "shipped_answer", "snippet_of"]

SHIPPED = Path(__file__).parents[1] / "assets" / "experiments"


@dataclass(frozen=True)
class Asked:
    """How far a question is: what is being done now, and the answer once there is one."""

    progress: Progress
    result: Result | None = None


@st.cache_resource(show_spinner=False)
def answer_workers() -> Workers:
    """One thread for everybody's questions; training and measuring have their own."""
    freeze_imports()
    return Workers("answers", workers=1, waiting=limits().waiting, longest=limits().answer)


@st.cache_resource(show_spinner=False, max_entries=32)
def shipped_answer(name: str) -> Result | None:
    """The answer that came with the lab, or None."""
    file = SHIPPED / f"{name}.json"
    return Result.from_json(file.read_bytes()) if file.exists() else None


def first_choices(name: str) -> dict[str, Any]:
    """What each field is set to at first: the config of the shipped answer, else the experiment's defaults."""
    shipped = shipped_answer(name)
    return EXPERIMENTS[name](**(shipped.config if shipped else {})).model_dump()


def known_answer(name: str, question: Experiment) -> Result | None:
    """The answer to exactly this question, measured here or shipped."""
    own = state.kept("answers").get((name, question.key))
    if own is not None:
        return own
    shipped = shipped_answer(name)
    same = shipped is not None and shipped.config == question.model_dump(mode="json")
    return shipped if same else None


def ask(name: str, question: Experiment) -> None:
    """Measure in the background; an older question of this session is given up. May raise Busy."""
    job = answer_workers().submit(lambda stop: _parts(question, stop))
    state.keep_job("answer", job)
    state.choose("asked", (name, question))


def asked(name: str) -> JobView[Asked] | None:
    """The question under way for this experiment, if there is one; a finished answer is kept."""
    job, about = state.job("answer"), state.value("asked")
    if job is None or about is None or about[0] != name:
        return None
    view = answer_workers().view(job)
    if view.latest and view.latest.result:
        state.kept("answers")[name, about[1].key] = view.latest.result
    return view


def _parts(question: Experiment, stop: threading.Event) -> Iterator[Asked]:
    parts = question.measure()
    yield Asked(Progress(0.0, "Starting."))
    while not stop.is_set():
        try:
            progress = next(parts)
        except StopIteration as done:
            yield Asked(Progress(1.0, ""), done.value)
            return
        yield Asked(progress)


def snippet_of(name: str, question: Experiment) -> str:
    """Python that measures the same."""
    changed = question.model_dump(exclude_defaults=True)
    settings = ", ".join(f"{field}={value!r}" for field, value in changed.items())
    return (
        "from cmcore.experiments import EXPERIMENTS\n\n"
        f'result = EXPERIMENTS["{name}"]({settings}).run()\n'
        "print(result.reading)\nprint(result.to_csv())"
    )
