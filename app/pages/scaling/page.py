"""Scaling: the paper's claims, and the questions of the theory, each a figure that can be steered."""

import streamlit as st

from app.background.progress import progress_line, under_way, wait_line
from app.experiments.fields import experiment_controls
from app.experiments.results import ANSWERS, answer, ask_button, measuring, shipped_answer, snippet_of
from app.figures.experiment import panel_figure, summary
from app.figures.theme import theme
from app.pages.scaling.claims import claim_chart, claim_controls, claim_panels
from app.pages.scaling.link import CLAIMS_VIEW, SCALING_LINK, questions
from app.quoting import escape, plain
from app.ui.cards import number, table, typeset
from app.ui.charts import show_chart
from app.ui.link_warnings import show_link_warnings
from app.ui.terms import explained
from cmcore.experiments import EXPERIMENTS, Experiment, Result
from cmcore.theory.rates import CAVEAT, RATES

RATES_TITLE = "Published rates, for comparison"


def scaling() -> None:
    """The page."""
    show_link_warnings(SCALING_LINK.open())
    with st.container(key="scalingbench"):
        with st.container(key="question_area"):
            name = _choice()
        if name == CLAIMS_VIEW:
            _claims()
        else:
            _experiment(name)
    if name == CLAIMS_VIEW:
        claim_panels()
    _rates()
    SCALING_LINK.write()


def _claims() -> None:
    """The claim itself in one chart, with its dials."""
    with st.container(key="ask_area"):
        claim_controls()
    with st.container(key="answer_area"):
        claim_chart()


def _experiment(name: str) -> None:
    """A question, what can be steered of it, and its answer."""
    with st.container(key="ask_area"):
        view = measuring(name)
        going = under_way(view)
        question, problem = experiment_controls(name, disabled=going)
        ask_button(name, question, "measure", type="primary", width="stretch")
        if problem:
            st.warning(plain(problem))
    with st.container(key="answer_area"):
        _question(name)
        if going:
            wait_line(ANSWERS)
        else:
            progress_line(view)
        _answer(name, question)


def _choice() -> str:
    return st.selectbox(
        "Question",
        (CLAIMS_VIEW, *questions()),
        format_func=view_label,
        key="experiment",
        persist_state="session",
    )


def view_label(name: str) -> str:
    """The claims, or a question with its code."""
    return "The paper’s five claims" if name == CLAIMS_VIEW else f"{EXPERIMENTS[name].code} · {EXPERIMENTS[name].label}"


def _question(name: str) -> None:
    kind = EXPERIMENTS[name]
    st.html(f"<h1 class='question'>{escape(kind.question)}</h1>")
    with st.container(key="expects_area"):
        st.html(f"<p class='theory'>{explained(kind.expects)}</p>")


def _answer(name: str, question: Experiment | None) -> None:
    """The figure of exactly these settings; else the shipped one, saying so."""
    result = None if question is None else answer(name, question)
    if result is None:
        result = shipped_answer(name)
        if result is None:
            st.info("Not measured yet: press Measure. It takes a few minutes at most.")
            return
        st.caption("Shown: the answer the lab ships with. Its settings differ from those chosen here.")
    _panels(result)
    with st.container(key="answer_reading"):
        st.html(f"<p class='reading'>{typeset(result.reading)}</p>")
    if fits := fits_table(result):
        with st.container(key="answer_fits"):
            st.html(fits)
    with st.container(horizontal=True, vertical_alignment="center", key="answer_takeaway"):
        made = question if question is not None and answer(name, question) is result else None
        with st.popover("Code", type="tertiary"):
            st.code(snippet_of(name, made or EXPERIMENTS[name](**result.config)), language="python")
        st.download_button(
            "CSV",
            data=result.to_csv,
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
            type="tertiary",
        )
        st.download_button(
            "JSON",
            data=result.to_json,
            file_name=f"{name}.json",
            mime="application/json",
            on_click="ignore",
            type="tertiary",
        )


def _panels(result: Result) -> None:
    """The panels side by side, as many as fit."""
    colours = theme(st.context.theme.type)
    with st.container(key="panels"):
        for panel in result.panels:
            with st.container(key=f"panel_{panel.name}"):
                st.html(f"<h2 class='eyebrow'>{typeset(panel.title or panel.y.label)}</h2>")
                show_chart(
                    panel_figure(result, panel, colours),
                    key=f"answer:{result.experiment}:{panel.name}",
                    alt=summary(result, panel),
                )


def fits_table(result: Result) -> str:
    """Slopes with their intervals beside what is expected, as a table."""
    if not result.fits:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{escape(fit.label)}</th><td>{number(fit.slope)}</td>"
        f"<td>{number(fit.low)} … {number(fit.high)}</td>"
        f"<td>{'—' if fit.expected is None else number(fit.expected)}</td>"
        f"<td>{number(fit.over[0])} … {number(fit.over[1])}</td><td>{escape(fit.note)}</td></tr>"
        for fit in result.fits
    )
    return table("Fitted slopes", ("slope of", "found", "95 % interval", "expected", "fitted over", "note"), rows)


def _rates() -> None:
    with st.container(key="rates_area"), st.expander(RATES_TITLE):
        st.html(rates_table())


def rates_table() -> str:
    """The table of published rates, with what must be said beside it."""
    head = ("work", "assumption", "metric", "iterations", "counts", "basis")
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(str(cell))}</td>"
            for cell in (r.work, r.assumption, r.metric, r.iterations, r.counts, r.basis)
        )
        + "</tr>"
        for r in RATES
    )
    return f"<p class='theory'>{escape(CAVEAT)}</p>{table('Published rates', head, rows)}"
