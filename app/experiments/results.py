"""Answers to the lab's questions: those it ships with, and those measured in this session in the background."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from app.background.jobs import Busy, JobView
from app.background.pools import answer_workers
from app.background.progress import under_way
from app.background.task import Report, Task
from app.hosting.limits import OverLimit, limits
from app.quoting import keywords, literal, plain
from cmcore.experiments import EXPERIMENTS, Experiment, Result
from cmcore.files import LAB

SHIPPED = LAB / "assets" / "experiments"
COSTLY = frozenset({
    *("steps", "training_steps", "models", "width", "depth", "batch"),  # of learning
    *("points", "landings", "samples", "n", "repeats", "times", "trials", "atoms", "learned_jumps"),  # of measuring
    *("jumps", "numbers", "fixed_jumps", "most_steps", "most_calls", "calls", "intervals", "substeps", "dims"),
})  # fmt: skip
"""Fields of the questions that decide how long an answer takes and how much memory; the others barely do."""


ANSWERS: Task[Result] = Task("answers", answer_workers, size=64, resumes=False)
"""By name of the experiment, and key of the question."""


@st.cache_resource(show_spinner=False, max_entries=32)
def shipped_answer(name: str) -> Result | None:
    """The answer that came with the lab, or None."""
    file = SHIPPED / f"{name}.json"
    return Result.from_json(file.read_bytes()) if file.exists() else None


def first_choices(name: str) -> dict[str, Any]:
    """What each field is set to at first: the config of the shipped answer, else the experiment's defaults."""
    shipped = shipped_answer(name)
    return EXPERIMENTS[name](**(shipped.config if shipped else {})).model_dump()


def most_of(name: str, field: str) -> int | None:
    """The largest value of a costly field, or of each of its values, that this server computes; None: no bound here."""
    effort = limits().effort
    if effort is None or field not in COSTLY:
        return None
    first = first_choices(name)[field]
    return int(effort * (max(first) if _several(first) else first))


def too_much(name: str, question: Experiment) -> tuple[str, str] | None:
    """The first field that asks for more than this server computes, and a clause on how far it goes; else None."""
    effort = limits().effort
    if effort is None:
        return None
    for field, first in first_choices(name).items():
        asked_for, most = getattr(question, field), most_of(name, field)
        largest = max(asked_for, default=0) if _several(asked_for) else asked_for
        if most is not None and largest > most:
            return field, f"this shared server goes up to {most:,}, and {largest:,} was asked for"
        if _several(first) and len(asked_for) > (count := int(effort * len(first))):
            return field, f"this shared server takes up to {count} values, and there are {len(asked_for)}"
    return None


def _several(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def answer(name: str, question: Experiment) -> Result | None:
    """The answer to exactly this question, measured here or shipped."""
    shipped = shipped_answer(name)
    same = shipped is not None and shipped.config == question.model_dump(mode="json")
    return ANSWERS.result((name, question.key)) or (shipped if same else None)


def ask(name: str, question: Experiment) -> None:
    """Measure in the background; an older question of this session is given up. May raise Busy or OverLimit."""
    if refused := too_much(name, question):
        raise OverLimit("{}: {}.".format(*refused))
    ANSWERS.start((name, question.key), partial(_measure, question))


def ask_button(name: str, question: Experiment | None, key: str, **look: Any) -> None:
    """Measure, while that goes on Stop, and where there is no room for it a sentence; `look` is of the button."""
    if under_way(measuring(name)):
        st.button("Stop", on_click=ANSWERS.cancel, key=f"stop_{key}", **look)
        return
    measured = question is not None and answer(name, question) is not None
    words, disabled = "Measured" if measured else "Measure", question is None or measured
    if st.button(words, disabled=disabled, key=key, **look) and question is not None:
        try:
            ask(name, question)
            st.rerun()
        except (Busy, OverLimit) as refused:
            st.warning(plain(str(refused)))


def measuring(name: str) -> JobView[Report[Result]] | None:
    """The measuring of a question of this experiment, if there is one under way, or one that came to nothing."""
    key = ANSWERS.key
    return ANSWERS.view(key) if key and key[0] == name else None


def _measure(question: Experiment, report: Report[Result]) -> Result:
    report(0.0, "Starting.")
    return report.follow(question.measure())


def snippet_of(name: str, question: Experiment) -> str:
    """Python that measures the same."""
    changed = question.model_dump(exclude_defaults=True)
    settings = ", ".join(keywords(changed))
    return (
        "from cmcore.experiments import EXPERIMENTS\n\n"
        f"result = EXPERIMENTS[{literal(name)}]({settings}).run()\n"
        "print(result.reading)\nprint(result.to_csv())"
    )
