"""Runs as a table that is sorted, searched and downloaded by Streamlit's own: what each is, and its KL at a few N.

A KL is shown with its interval and sorted by its value; direction, δ, estimator, samples and floor stand in columns of
their own, the last three folded away until somebody asks for them.
"""

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from app.background.once import Measurable
from app.background.progress import under_way
from app.background.task import Task
from app.kl.question import SEED, Measurement, Question, coarse_measurement, measurement, quick_estimate_of
from app.kl.run_summary import ended, own_question, weights
from app.kl.seeds import training_key
from app.runs.names import learned_by, run_names, target_titles
from app.runs.run import Run
from app.ui.cards import beside_value, direction_words, number, resolved
from cmcore.divergences.estimate import ESTIMATORS, Estimate

STEPS = (1, 4, 16)
"""The N whose KL stands in the table."""
GROUPS = ("Nothing", "Target", "Objective", "Seeds")
"""By what rows are put together."""
FOLDED = ("d", "Parameters", "Estimator", "Samples", "Floor", "Noise seed")
"""Columns that are there to be asked for."""
NOT_MEASURED = "not measured"
MOST_MEASURED = 30
"""Rows of which a first value is measured without being asked."""


@dataclass(frozen=True)
class RunTable:
    """The rows as they are shown.

    Attributes:
        frame: a row for each run, or each group of them.
        runs: the keys behind each row.
        words: how a KL is written, by row and column; the frame holds its value, by which it is sorted.
    """

    frame: pd.DataFrame
    runs: tuple[tuple[str, ...], ...]
    words: Mapping[tuple[int, str], str] = field(default_factory=dict)

    def styled(self) -> Styler:
        """The frame with every KL in words."""
        styler = self.frame.style
        for (row, column), text in self.words.items():
            styler.format({column: lambda _, text=text: text}, subset=pd.IndexSlice[row, [column]])
        return styler


# ---- values -----------------------------------------------------------------------------------------------------
def own_measurement(run: Run, steps: int) -> tuple[Measurement | None, bool]:
    """The KL of a run's own draw at N, and whether it is a first value from few samples."""
    question = own_question(run, steps)
    measured = measurement(run, question)
    return (measured, False) if measured else (coarse_measurement(run, question), True)


def first_values(runs: Sequence[Run]) -> list[Measurable[Any]]:
    """What is missing of the table, to be measured from few samples."""
    return [
        quick_estimate_of(run, own_question(run, steps), f"a first value of {run.label}, N = {steps}")
        for run in runs[:MOST_MEASURED]
        for steps in STEPS
        if measurement(run, own_question(run, steps)) is None
    ]


def in_cell(estimate: Estimate, *, coarse: bool = False) -> str:
    """0.0246 ± 0.0003, < 0.0004, or a dash; ≈ before a first value from few samples."""
    if not estimate.trusted or not math.isfinite(estimate.value):
        return "—"
    about = "≈ " if coarse else ""
    if not resolved(estimate):
        return f"{about}< {number(estimate.floor, 2)}"
    return f"{about}{beside_value(estimate)}"


def how_drawn(question: Question) -> str:
    """KL(data ∥ model), renoised."""
    renoised = {"deterministic": "", "renoise": ", renoised"}.get(question.sampler, f", {question.kind.label}")
    return f"{direction_words(question.direction)}{renoised}"


def share_measured(task: Task[None], runs: Sequence[Run]) -> int | None:
    """Measure what the table lacks: how much of it is there, in tenths; None where nothing is being measured."""
    view = task.measure(tuple(run.key for run in runs), first_values(runs))
    return int(10 * view.latest.share) if view is not None and under_way(view) and view.latest else None


# ---- rows -------------------------------------------------------------------------------------------------------
def table_of_runs(runs: Sequence[Run], *, pictures: Mapping[str, str], origin: Callable[[Run], str]) -> RunTable:
    """A row for every run, in this order."""
    names, titles = run_names(runs), target_titles(runs)
    rows, words = [], {}
    for row, run in enumerate(runs):
        model, question = run.model, own_question(run, STEPS[0])
        facts = {
            "Picture": pictures.get(run.key, ""), "Run": names[run.key], "Target": titles[run.target_key],
            "Objective": learned_by(model.config), "Steps": model.steps, "Seconds": model.seconds,
            "Seed": model.config.seed,
        }  # fmt: skip
        last: Estimate | None = None
        for steps in STEPS:
            column = column_of(steps)
            measured, coarse = own_measurement(run, steps)
            last = measured.estimate if measured else last
            facts[column] = _sorted_by(measured and measured.estimate)
            words[row, column] = in_cell(measured.estimate, coarse=coarse) if measured else NOT_MEASURED
        facts |= {"Measured": how_drawn(question), "δ": question.grid.delta}
        facts |= {"Ended": ended(run) or "finished", "From": origin(run), "d": model.dim, "Parameters": weights(run)}
        facts |= {
            "Estimator": _estimator(last), "Samples": last.n if last else None, "Floor": last.floor if last else None,
            "Noise seed": SEED,
        }  # fmt: skip
        rows.append(facts)
    return RunTable(pd.DataFrame(rows), tuple((run.key,) for run in runs), words)


def table_of_groups(runs: Sequence[Run], by: str) -> RunTable:
    """A row for every target, objective, or training with several seeds: medians over its runs, lowest to highest."""
    titles = target_titles(runs)
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        keys = {"Target": run.target_key, "Objective": learned_by(run.model.config), "Seeds": training_key(run)}
        groups.setdefault(keys[by], []).append(run)
    rows, words = [], {}
    for row, some in enumerate(groups.values()):
        facts: dict[str, Any] = {
            "Target": _shared(titles[run.target_key] for run in some),
            "Objective": _shared(learned_by(run.model.config) for run in some),
            "Runs": len(some),
            "Seeds": ", ".join(str(seed) for seed in sorted({run.model.config.seed for run in some})),
            "Steps": statistics.median(run.model.steps for run in some),
            "Seconds": statistics.median(run.model.seconds for run in some),
        }
        for steps in STEPS:
            column = column_of(steps)
            facts[column], words[row, column] = _of_group(some, steps)
        facts["Measured"] = _shared(how_drawn(own_question(run, 1)) for run in some)
        facts["δ"] = _shared(f"{own_question(run, 1).grid.delta:g}" for run in some)
        rows.append(facts)
    return RunTable(pd.DataFrame(rows), tuple(tuple(run.key for run in some) for some in groups.values()), words)


def column_of(steps: int) -> str:
    """KL, N = 4."""
    return f"KL, N = {steps}"


def _of_group(runs: Sequence[Run], steps: int) -> tuple[float, str]:
    """The median over runs that are measured alike, and it in words."""
    measured = [own_measurement(run, steps) for run in runs]
    trusted = [(m.estimate, coarse) for m, coarse in measured if m and m.estimate.trusted]
    if len({(estimate.direction, estimate.delta) for estimate, _ in trusted}) != 1:
        return math.nan, "—" if trusted else ""  # numbers of two kinds have no median
    values = [estimate.value for estimate, _ in trusted]
    middle, about = statistics.median(values), "≈ " * any(coarse for _, coarse in trusted)
    if len(values) == 1:
        return middle, in_cell(trusted[0][0], coarse=trusted[0][1])
    if middle <= max(estimate.floor for estimate, _ in trusted):
        return middle, f"{about}< {number(max(estimate.floor for estimate, _ in trusted), 2)}"
    return middle, f"{about}{number(middle)} ({number(min(values), 2)} … {number(max(values), 2)})"


def _sorted_by(estimate: Estimate | None) -> float:
    return estimate.value if estimate and estimate.trusted and math.isfinite(estimate.value) else math.nan


def _estimator(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    registered = ESTIMATORS.get(estimate.estimator)
    return registered.label if registered else estimate.estimator.replace("_", " ")


def _shared(words: Any) -> str:
    listed = list(dict.fromkeys(words))
    return listed[0] if len(listed) == 1 else f"{len(listed)} kinds"


# ---- on the page ------------------------------------------------------------------------------------------------
def show_run_table(table: RunTable, *, key: str, alt: str, **selection: Any) -> None:
    """The table; `selection` is what st.dataframe takes of it."""
    own = "Median over the runs, lowest to highest" if "Runs" in table.frame else "Value and 95 % interval"
    kl = f"{own}, in nats, of each run’s own way of drawing. ≈: a first value from few samples. <: below the floor."
    config: dict[str, Any] = {
        "Picture": st.column_config.ImageColumn("Picture", width=72),
        "Run": st.column_config.TextColumn("Run", pinned=True),
        "Steps": st.column_config.NumberColumn("Steps", format="localized"),
        "Seconds": st.column_config.NumberColumn("Seconds", format="%.0f s"),
        "δ": st.column_config.NumberColumn(
            "δ", format="%g", help="Where samples stop, and are compared with the truth."
        ),
        "Measured": st.column_config.TextColumn("Measured", width="medium"),
        **{column_of(steps): st.column_config.NumberColumn(column_of(steps), help=kl) for steps in STEPS},
        **dict.fromkeys(FOLDED),
    }
    st.dataframe(
        table.styled(),
        key=key,
        alt=alt,
        hide_index=True,
        placeholder=NOT_MEASURED,
        column_config=config,
        row_height=38,
        **selection,
    )
