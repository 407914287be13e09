"""What lessons take from shipped results: runs, answers, and the numbers that stand in their text."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.experiments.results import shipped_answer
from app.kl.one_run import stopping
from app.pages.lessons.model import (
    AnswerSetting,
    CurvePoint,
    Fact,
    Lesson,
    LineValue,
    Ratio,
    SlopeValue,
    Stopping,
    TrainingFact,
)
from app.pages.lessons.reader import PLACEHOLDER
from app.runs import library
from app.runs.library import Run
from app.ui.cards import number, percent
from cmcore.divergences.estimate import Estimate
from cmcore.experiments import Result
from cmcore.experiments.base import Series
from cmcore.files import LAB

OWN = LAB / "assets" / "lessons"
"""Small runs and answers of the failure gallery, made by assets/make_lessons.py."""


# ---- what is shipped ------------------------------------------------------------------------------------------------
def run_of(name: str) -> Run:
    """The shipped run of that name, or the failure gallery's; ValueError where there is none."""
    every = {**library.runs_in(str(OWN / "runs")), **library.runs_in(str(library.SHIPPED))}
    return _one_of(every, name, "run")


def is_own(name: str) -> bool:
    """Whether the run is one of the failure gallery, which no other page lists."""
    return name in library.runs_in(str(OWN / "runs"))


def answer_of(name: str) -> Result:
    """The shipped answer of that name, or the failure gallery's; ValueError where there is none."""
    answer = shipped_answer(name) or _own_answer(name)
    if answer is None:
        raise ValueError(f"there is no shipped answer “{name}”")
    return answer


@st.cache_resource(show_spinner=False, max_entries=16)
def _own_answer(name: str) -> Result | None:
    file = OWN / f"{name}.json"
    return Result.from_json(file.read_bytes()) if file.exists() else None


# ---- numbers --------------------------------------------------------------------------------------------------------
def values_of(lesson: Lesson) -> Mapping[str, float]:
    """Every number of the head by name; ValueError says which is not there."""
    numbers: dict[str, float] = {}
    for name, source in sorted(lesson.numbers.items(), key=lambda item: isinstance(item[1], Ratio)):
        try:
            numbers[name] = _ratio(source, numbers) if isinstance(source, Ratio) else value_of(source)
        except (ValueError, LookupError) as problem:
            raise ValueError(f"the number “{name}” is not there: {problem}") from None
    return numbers


def filled(text: str, lesson: Lesson) -> str:
    """The text with its numbers written in."""
    values = values_of(lesson)
    return PLACEHOLDER.sub(lambda match: _written(lesson.numbers[match[1]], values[match[1]]), text)


def value_of(source: Any) -> float:
    """The number that a head's entry stands for."""
    match source:
        case SlopeValue(answer=answer, fit=label, part=part):
            fits = {fit.label: fit for fit in answer_of(answer).fits}
            value = getattr(_one_of(fits, label, "fit"), part)
        case Fact(answer=answer, fact=name):
            value = _one_of(answer_of(answer).facts, name, "fact")
        case AnswerSetting(answer=answer, setting=name):
            value = _one_of(answer_of(answer).config, name, "setting")
        case LineValue():
            value = _on_line(source)
        case CurvePoint():
            value = _on_curve(source)
        case Stopping(run=run, stopping=delta):
            value = stopping(f"lesson {run}", delta, run_of(run))
        case TrainingFact(run=run, about=what):
            value = _about(run_of(run), what)
        case _:
            raise ValueError(f"nothing says how to read {type(source).__name__}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"it is no number but {str(value)[:40]}")
    return float(value)


def _ratio(source: Ratio, numbers: Mapping[str, float]) -> float:
    above, below = (numbers[name] for name in source.over)
    if below == 0:
        raise ValueError("it divides by 0")
    return above / below


def _on_line(source: LineValue) -> float:
    lines = [line for line in answer_of(source.answer).series if line.panel == source.panel]
    if not lines:
        raise ValueError(f"{source.answer} has no panel “{source.panel}”")
    line: Series = _one_of({line.label: line for line in lines}, source.line, "line")
    at = source.at
    if isinstance(at, str):
        index = {"first": 0, "last": -1}[at]
    else:
        index = min(range(len(line.x)), key=lambda i: abs(line.x[i] - at))
        if abs(line.x[index] - at) > 1e-6 * abs(at):
            raise ValueError(f"“{source.line}” has no point at {at:g}; the nearest is {line.x[index]:g}")
    values = getattr(line, source.part)
    return values[index] if values else line.y[index]


def _on_curve(source: CurvePoint) -> float:
    estimate = _shipped_estimate(source)
    part = getattr(estimate, source.part, None)
    return estimate.diagnostics[source.part] if part is None else part


def _shipped_estimate(source: CurvePoint) -> Estimate:
    run = run_of(source.run)
    for curve in run.curves.values():
        delta = curve.config["delta"]
        own = run.model.delta if source.sampler != "renoise" else delta
        if curve.sampler == source.sampler and delta == (own if source.delta is None else source.delta):
            for calls, estimate in zip(curve.values, curve.estimates, strict=True):
                if calls == source.calls and estimate.direction == source.direction:
                    return estimate
    raise ValueError(f"{source.run} ships with no {source.sampler}, {source.direction} at {source.calls} calls")


def _about(run: Run, what: str) -> float:
    model = run.model
    return {
        "seconds": lambda: model.seconds,
        "steps": lambda: model.steps,
        "weights": lambda: sum(weight.numel() for weight in model.flow_map.parameters()),
        "loss": lambda: model.history[-1][1],
    }[what]()


def _written(source: Any, value: float) -> str:
    if source.form == "percent":
        return percent(value)
    if source.form == "words":
        return f"{round(value):,}"
    return number(value, source.digits)


def _one_of(named: Mapping[str, Any], name: str, noun: str) -> Any:
    if name not in named:
        raise ValueError(f"there is no {noun} “{name}”; there is {', '.join(map(str, named))[:300]}")
    return named[name]
