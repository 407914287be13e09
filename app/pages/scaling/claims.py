"""The paper's claims: one chart that is the claim itself, and five panels, each with the experiment behind it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import streamlit as st

from app import state
from app.experiments.results import shipped_answer
from app.figures.claim import claim_figure, claim_result, claim_words
from app.figures.theme import theme
from app.pages.scaling.link import DATA, DIMS, ERRORS
from app.quoting import escape
from app.ui.cards import number, typeset
from app.ui.charts import show_chart
from app.ui.single_choice import single_choice
from cmcore.experiments import EXPERIMENTS, Result
from cmcore.theory.claim import ClaimCurve, claim_curve
from cmcore.theory.rates import CLAIMS, NOT_A_QUERY, Claim

TERMS = (
    "Closed form, nothing sampled: data N(0, I/4), or a single point where it has no density; a score off by ε "
    "everywhere; its exact consistency map; and the paper's sampler, which jumps past the next time and adds the noise "
    "back, as much as one step. δ is the time at which runs stop, and T, where they start, grows with K. Bound A adds "
    "up each jump's own error. The paper's bound puts e²h′ε for each, h′ being the length of the jump."
)


def claim_controls() -> None:
    """The dials: d, ε, and the data."""
    single_choice(
        "Data",
        list(DATA),
        key="claim_data",
        format_func=DATA.__getitem__,
        help="Smooth: a Gaussian, with steps of constant length. No density: a single point, with steps that shrink "
        "with σ²/d near it, σ² being the variance of the noise added so far.",
    )
    st.select_slider(
        "Dimension d",
        DIMS,
        key="claim_dim",
        format_func=lambda d: f"{d:,}",
        persist_state="session",
        help="Of the data. The claim is that the jumps needed grow with its logarithm.",
    )
    st.select_slider(
        "Error ε of the score",
        ERRORS[::-1],
        key="claim_error",
        persist_state="session",
        help="Root mean square of the estimated score minus the true one, the same at every time.",
    )


def claim_chart() -> None:
    """The claim itself, for the d, ε and data that are dialled."""
    smooth, d, eps = state.value("claim_data") == "smooth", state.value("claim_dim"), state.value("claim_error")
    curve = claim_curve(d, eps, smooth=smooth)
    beside = beside_of(curve)
    st.html(f"<h1 class='question'>{escape(headline(smooth=smooth))}</h1>")
    with st.container(key="panels"), st.container(key="panel_claim"):
        st.html(f"<h2 class='eyebrow'>{typeset(claim_result(curve, beside).panels[0].title)}</h2>")
        show_chart(
            claim_figure(curve, beside, theme(st.context.theme.type)), key="claim", alt=claim_words(curve, beside)
        )
    with st.container(key="answer_reading"):
        st.html(f"<p class='reading'>{escape(reading(curve, beside))}</p>")
    with st.container(key="expects_area"):
        st.html(f"<p class='theory'>{escape(TERMS)}</p>")


def headline(*, smooth: bool) -> str:
    """What the abstract says of such data."""
    return f"The abstract states that {CLAIMS[1 if smooth else 2].says}"


def beside_of(curve: ClaimCurve) -> ClaimCurve | None:
    """The same claim with steps that do not shrink with d, where that is another."""
    return None if curve.smooth or curve.dim == 1 else claim_curve(curve.dim, curve.eps, smooth=False, over_dim=False)


def reading(curve: ClaimCurve, beside: ClaimCurve | None) -> str:
    """What the chart shows, in numbers."""
    goal, count = curve.eps**2, "log(d/ε)" if curve.smooth else "d·log(d/ε)"
    end, share = number(curve.kl[-1] / goal, 2), number(curve.settled / curve.claimed, 2)
    words = [f"With d = {curve.dim:,} and ε = {curve.eps:g} the KL ends at {end} ε²."]
    words.append(f"It is within a factor of 2 of that from {_jumps(curve.settled)} on, {share} · {count}.")
    if beside is not None:
        words.append(
            f"Steps without the 1/d do as well here from {_jumps(beside.settled)} on: an observation on this one law, "
            "since the abstract's count is an upper bound over all of them."
        )
    met = "met" if curve.longest <= 1 else "not met"
    words.append(
        f"Bound A ends at {number(curve.bound_a[-1] / goal, 2)} ε², the paper's bound at "
        f"{number(curve.paper[-1] / goal, 2)} ε². Its assumptions are {met}: the second moment is finite, the score is "
        f"off by ε at every time, and h′L is at most {number(curve.longest, 2)}, where 1 is allowed (L: the steepest "
        "slope of the score, or 1)."
    )
    return " ".join(words)


@dataclass(frozen=True)
class ClaimPanel:
    """One claim beside what was measured.

    Attributes:
        claim: what the abstract says.
        title: the claim in a few words.
        measured: what the shipped answers show of it, in words of ours and numbers of theirs.
        stops: where it stops holding.
        behind: the experiments, by name: where it was measured, and where it stops.
    """

    claim: Claim
    title: str
    measured: Callable[[], str]
    stops: Callable[[], str]
    behind: tuple[str, ...]


def claim_panels() -> None:
    """The five panels, in the order of the paper."""
    with st.container(key="claim_panels"):
        for panel in PANELS:
            with st.container(key=f"claim_{panel.claim.key}"):
                st.html(panel_words(panel))
                for name in panel.behind:
                    st.button(
                        f"{EXPERIMENTS[name].code} · {EXPERIMENTS[name].label}",
                        key=f"open:{panel.claim.key}:{name}",
                        type="tertiary",
                        icon=":material/arrow_forward:",
                        on_click=state.set_value,
                        args=("experiment", name),
                    )


def panel_words(panel: ClaimPanel) -> str:
    """The panel as HTML: what is claimed, what was measured, and where it stops holding."""
    return (
        f"<h2 class='question'>{escape(panel.claim.key)} · {escape(panel.title)}</h2>"
        f"<p class='claim'><b>The abstract says</b> (reported) that {escape(panel.claim.says)}.</p>"
        f"<p class='claim'><b>Here it is measured</b> (observed) {typeset(panel.measured())}</p>"
        f"<p class='claim'><b>Where it stops holding</b> {typeset(panel.stops())}</p>"
    )


def _jumps(count: float) -> str:
    return "1 jump" if count == 1 else f"{count:,.0f} jumps"


# ---- what the shipped answers show ----------------------------------------------------------------------------------
def _from(name: str, words: Callable[[Result], str]) -> Callable[[], str]:
    """Words with the numbers of a shipped answer, or that there is none."""

    def sentence() -> str:
        result = shipped_answer(name)
        return words(result) if result is not None else "Not measured yet: open the question and press Measure."

    return sentence


def _slope(result: Result, label: str) -> str:
    """A fitted slope with its interval."""
    fit = next(fit for fit in result.fits if fit.label == label)
    return f"{number(fit.slope)} ({number(fit.low)} … {number(fit.high)})"


def _same(result: Result) -> str:
    return (
        "The exact map, in one jump or in several to times between, ends at the same KL: the values differ by "
        f"{number(result.facts['one_or_many_apart'], 1)} of themselves."
    )


def _log_d(result: Result) -> str:
    slope = _slope(result, "exact map, mean 0, covariance ≠ I")
    expected = number(1 / (4 * result.config["step"]))
    return (
        f"To a fixed KL the exact map needs {slope} jumps more for each unit of log d, up to d = "
        f"{result.config['max_d']:,}. Derived here: 1/(4h) = {expected}."
    )


def _learning_adds(result: Result) -> str:
    settled = {int(key.split()[2].rstrip(",")): jumps for key, jumps in result.facts.items() if "learning adds" in key}
    d = max(settled)
    return (
        f"Learned maps: at d = {d} learning adds {number(settled[d], 2)} jumps, and in the larger dimensions tried no "
        "count is the answer, because the map's own error decides and not the count. In the chart above the KL stops "
        "at about ε² for the same reason."
    )


def _without_density(result: Result) -> str:
    slope = _slope(result, "K that reaches ε², N = 4")
    return (
        f"Two atoms a coordinate, stopped at δ: the jumps to the goal grow as d to the power {slope} with a map of 4 "
        "sub-steps, fewer than a factor d."
    )


def _no_factor(result: Result) -> str:
    norms = [line for line in result.series if line.panel == "norm"]
    ends = " and ".join(number(line.y[-1], 2) for line in norms if line.role == "exact")
    allowed = next(line for line in norms if line.role == "bound")
    return (
        "The factor d comes from how much the score's Jacobian may grow: its mean norm, times σ²/d, may be 1 + 1/√d. "
        f"In two families of atoms it is {ends} at d = {allowed.x[-1]:g}, where {number(allowed.y[-1], 3)} is allowed, "
        "and falls with d: an observation on these laws, not on the worst case. And the paper's bound is about short "
        "jumps: where h′L > 1 trajectories change sides, and the error of a jump can outgrow e²h′ε."
    )


def _orders(result: Result) -> str:
    return (
        "Along the sub-step τ of the distillation the map error falls with slope "
        f"{_slope(result, 'map error against τ, learned map')} and the KL with slope "
        f"{_slope(result, 'KL against τ, learned map')}. Derived here: 1 and 2."
    )


def _own_error(result: Result) -> str:
    return (
        "At the network's own error. More and smaller sub-steps add up more of it, so that it grows as τ falls "
        f"(smallest τ tried: {number(min(min(line.x) for line in result.series), 2)})."
    )


def _equal_calls(result: Result) -> str:
    return result.reading.partition(". ")[0] + ". Calls of a map and of a score are counted alike there."


def _may_2025() -> str:
    return (
        "The comparison is with analyses as of May 2025; later ones stand in the table of published rates below. It is "
        "also between upper bounds, which do not rank methods on one law. Samplers that query a score need at least "
        f"Ω̃(√d) queries (reported, arXiv:2604.10857), drawn in E2. {NOT_A_QUERY}"
    )


def _panels() -> Iterable[ClaimPanel]:
    titles = ("Jumps to any earlier time", "Smooth data: log(d/ε) jumps", "No density: d·log(d/ε) jumps")
    titles += ("Small discretization steps", "Beside SDE and ODE samplers")
    measured = (
        _from("constant_step", _same),
        _from("dimension", _log_d),
        _from("early_stopping", _without_density),
        _from("discretization", _orders),
        _from("equal_calls", _equal_calls),
    )
    stops = (
        lambda: (
            "A model of one time can only jump to the data and be renoised: each jump brings its own error of the "
            "whole way, and more jumps can make the KL larger. A learned map of two times composes up to its error."
        ),
        _from("learned_dimension", _learning_adds),
        _from("curvature", _no_factor),
        _from("discretization", _own_error),
        _may_2025,
    )
    behind = (
        ("constant_step", "one_time"),
        ("dimension", "learned_dimension"),
        ("early_stopping", "curvature", "paper_theorem"),
        ("discretization",),
        ("equal_calls", "dimension"),
    )
    for parts in zip(CLAIMS, titles, measured, stops, behind, strict=True):
        yield ClaimPanel(*parts)


PANELS = tuple(_panels())
