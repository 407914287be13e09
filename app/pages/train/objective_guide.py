"""Which objective? Every way to learn a map, in groups by what it needs, with its paper and what was measured here."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import streamlit as st

from app import state
from app.quoting import escape
from app.ui.single_choice import single_choice
from cmcore.files import LAB, read_plain
from cmcore.json_input import parse_json
from cmcore.objectives import OBJECTIVES, Objective
from cmcore.objectives.describe import GROUPS, group_of, in_groups, summary

TABLE = LAB / "assets" / "objectives" / "table.json"
LARGEST, MOST_VALUES = 1 << 20, 1 << 15
TARGET, SHOWN_STEPS = "eight_gaussians", (1, 4)
START_HERE = {
    "trajectory_regression": "Start here",
    "ct": "Start here if there are only samples",
}
"""Where to begin: the default of the page, and the plainest of those from samples alone. It is no ranking."""


OPEN = "guide_open"


def objective_guide_button(*, disabled: bool) -> None:
    """A button that opens the guide, which stays open while the page runs again."""
    st.button(
        "Which objective?", type="tertiary", key="which_objective", disabled=disabled,
        on_click=state.set_value, args=(OPEN, True),
    )  # fmt: skip
    if state.value(OPEN) and not disabled:
        _guide()


def _close() -> None:
    state.set_value(OPEN, False)


@st.dialog("Which objective?", width="large", on_dismiss=_close)
def _guide() -> None:
    """All objectives, a group at a time; one of them can be chosen."""
    chosen = state.value("objective", "trajectory_regression")
    group = single_choice(
        "What there is to learn from", list(GROUPS), key="guide_group", first=group_of(OBJECTIVES[chosen]),
        format_func=str.capitalize, width="stretch",
    )  # fmt: skip
    st.markdown(GROUPS[group])
    for name in in_groups()[group]:
        with st.container(border=True, key=f"guide:{name}"):
            st.html(entry(name, OBJECTIVES[name]))
            if name == chosen:
                st.caption("Chosen")
            elif st.button("Choose", key=f"choose:{name}"):
                state.set_value("objective", name)
                _close()
                st.rerun()
    st.caption(
        "f is the map, F the network's answer, v a velocity, δ where jumps end, ⁻ an average of the weights, sg: no "
        "gradient. KL: eight Gaussians after 75 s on one processor core, median of 4 seeds, lowest to highest end of "
        "their 95 % intervals; a KL at another δ or with renoising is not comparable."
    )


def entry(name: str, kind: type[Objective]) -> str:
    """One objective as HTML: its name and paper, what it is known for, its formula, and its KL if it was measured."""
    year = f" · {kind.paper.year}" if kind.paper else ""
    start = f' <span class="badge">{escape(START_HERE[name])}</span>' if name in START_HERE else ""
    lines = [f"<h3>{escape(kind.label)}{year}{start}</h3>", f"<p>{escape(kind.known_for)}</p>"]
    lines.append(f'<p class="formula">{escape(summary(kind))}</p>')
    if measured := measured_in_words(name):
        lines.append(f"<p>{escape(measured)}</p>")
    if kind.paper:
        address = f"https://arxiv.org/abs/{kind.paper.arxiv}"
        lines.append(f'<p><a href="{address}" target="_blank" rel="noopener">arXiv:{kind.paper.arxiv}</a></p>')
    return f'<div class="objective">{"".join(lines)}</div>'


def measured_in_words(name: str) -> str:
    """KL(model ∥ data) at one and four jumps, with intervals and how they were drawn; "" where it was not measured."""
    cells = [cell for steps in SHOWN_STEPS if (cell := measured_cells().get((name, steps)))]
    if not cells:
        return ""
    values = ", ".join(f"{_value(cell)} at N = {cell['steps']}" for cell in cells)
    drawn = "renoised" if cells[0]["sampler"] == "renoise" else "deterministic"
    return f"KL(model ∥ data) {values}; {drawn}, δ = {cells[0]['delta']:g}."


def _value(cell: Mapping[str, Any]) -> str:
    if cell["value"] is None or cell["high"] is None:
        return f"above {cell['low']:.2g}"
    return f"{cell['value']:.2g} [{max(0.0, cell['low']):.2g}, {cell['high']:.2g}]"


@cache
def measured_cells() -> Mapping[tuple[str, int], Mapping[str, Any]]:
    """The cells of `benchmarks/objectives.py` for eight Gaussians and KL(model‖data), by objective and jumps."""
    if not TABLE.is_file():
        return {}
    table: Any = parse_json(read_plain(TABLE, LARGEST), largest=LARGEST, most_values=MOST_VALUES)
    shown = [c for c in table["cells"] if c["target"] == TARGET and c["direction"] == "KL(model‖data)"]
    return {(cell["objective"], cell["steps"]): cell for cell in shown}
