"""The controls of a draw: how many jumps, which sampler, where it stops."""

from collections.abc import Hashable, Sequence
from typing import Any

import streamlit as st

from app import state
from app.quoting import plain
from app.runs.library import Run
from app.stage.custom_times import with_times
from app.stage.scene import STEPS
from app.ui.cards import direction_words
from app.ui.single_choice import single_choice
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction
from cmcore.grids import named_grids
from cmcore.samplers import SAMPLERS as ALL
from cmcore.sampling_defaults import delta_for, sampling_defaults

SAMPLERS = {"deterministic": "Deterministic", "renoise": "Renoise", "algorithm_1": "Algorithm 1"}
SAMPLERS_HELP = (
    "Deterministic: every jump goes on from where the last one landed. Renoise: fresh noise in between, for a share of "
    "the time. Algorithm 1: the paper’s, as reported: past the next time and back up by noise, for a share of the step."
)
GRIDS_HELP = (
    "Where between T and δ the jumps begin and end. “Quadratic angle”: shorter towards the data, where most is "
    "decided. “Uniform angle”: equally long in θ = arccos e⁻ᵗ. “Constant step” and “variance step”, in proportion to "
    "σ², are the paper’s rules for smooth data and for data without a density."
)
DELTAS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
LETTERS = "AB"
"""What maps are called in short where there are two."""
NOT_COMPARED = "The numbers before and after cannot be compared."
FRESH = PINNED, REDRAWN = ("Pinned", "Redrawn")
"""Whether a start of one's own meets the same fresh noise at each release."""


def sampler_controls(run: Run, *beside: Run) -> SamplerConfig:
    """N, the sampler, and, folded away, the grid, δ, η and the seed of the noise; for the runs `beside` it too."""
    _suit(run)
    runs = (run, *beside)
    learned = earliest_learned(*runs)
    steps = st.select_slider(
        "Network calls N",
        STEPS,
        key="steps",
        help="Each call of the network is one jump from noise towards data.",
        persist_state="session",
    )
    sampler = single_choice(
        "Sampler",
        list(SAMPLERS),
        format_func=SAMPLERS.__getitem__,
        key="sampler",
        help=SAMPLERS_HELP,
        width="stretch",
    )
    with st.container(key="times_area"), st.expander("Times and noise"):
        noisy = ALL[sampler].noisy
        to_zero = learned == 0 and not noisy
        words = f"{GRIDS_HELP} Drag the times under the picture to choose your own."
        grid = grid_choice("grid", to_zero=to_zero, help=words, on_change=_name_grid)
        delta = delta_slider("delta", sampler, learned)
        renoise = 0.5
        if noisy:
            _take_share()
            renoise = renoise_slider("renoise", sampler)
            if state.value("own start") is not None:
                _own_noise()
        st.number_input(
            "Seed of the noise",
            0,
            2**31 - 1,
            key="seed",
            help="The same seed gives every N the same noise to start from.",
            persist_state="session",
        )
    for letter, each in zip(LETTERS, runs, strict=False):
        if words := sampling_defaults(each.model.config).caution(sampler, renoise, steps):
            st.caption(plain(f"{letter}: {words}" if beside else words))
    horizon = min(each.model.horizon for each in runs)
    config = SamplerConfig(sampler=sampler, grid=grid, steps=steps, horizon=horizon, delta=delta, renoise=renoise)
    return with_times(config, state.value("moved times"))


def earliest_learned(*runs: Run) -> float:
    """The earliest time that all of these runs learned."""
    return max(run.model.delta for run in runs)


def _name_grid() -> None:
    """A grid was named: it holds for every N."""
    state.set_value("moved times", None)


def _take_share() -> None:
    """η/t that a search found, once."""
    share = state.value("found share")
    if share is not None:
        state.set_value("found share", None)
        state.set_value("renoise", min(1.0, max(0.05, share)))


def _own_noise() -> None:
    """Whether a start of one's own meets the same fresh noise again each time it is put somewhere."""
    single_choice(
        "Fresh noise of your start",
        (PINNED, REDRAWN),
        help="Pinned: the same at each release. Redrawn: new at each release.",
        key="own_noise",
        width="stretch",
    )


def _suit(run: Run) -> None:
    """A run that is drawn in another way than the one before it brings its own sampler."""
    own = sampling_defaults(run.model.config)
    way = (own.sampler, own.renoise)
    if state.value("suited", way) != way:
        suited = {"sampler": own.sampler, "renoise": own.renoise, "direction": own.direction}
        for key, new in {**suited, "delta": delta_for(own.sampler, run.model.delta)}.items():
            state.set_until_rendered(key, new)
    state.set_value("suited", way)


# ---- controls that KL has too -----------------------------------------------------------------------------------
def grid_choice(key: str, *, to_zero: bool, **settings: Any) -> str:
    """The named time grid; `to_zero`: of those that reach δ = 0."""
    grids = named_grids(to_zero=to_zero)
    state.set_default(key, grids[0], allowed=grids)
    return st.selectbox(
        "Time grid",
        grids,
        format_func=lambda name: name.replace("_", " "),
        key=key,
        persist_state="session",
        **settings,
    )


def renoise_slider(key: str, sampler: str) -> float:
    """η as a share of t, or of the step."""
    if ALL[sampler].share_of == "step":
        label = "η as a share of the step"
        words = "A jump of step h goes past t to t − η, η = ρ h with this share ρ, and fresh noise brings it back to t."
    else:
        label = "η as a share of t"
        words = "A jump ends at t − η, and fresh noise brings it back to t. At 1 every jump goes to the data."
    return st.slider(label, 0.05, 1.0, step=0.05, key=key, help=words, persist_state="session")


def delta_slider(key: str, sampler: str, learned: float) -> float:
    """Where samples stop, from the earliest time learned on: what it was, where they can be measured there."""
    kept = kept_delta(state.value(key), sampler, learned)
    if kept != state.value(key):
        state.set_until_rendered(key, kept)
    return st.select_slider(
        "Stop at δ",
        sorted({*_stops(sampler, learned), state.value(key)}),
        format_func=lambda delta: f"{delta:g}",
        key=key,
        help="The time at which the last jump ends; samples are compared with the data at that noise level.",
        persist_state="session",
        on_change=choose_measure,
    )


def _stops(sampler: str, learned: float) -> list[float]:
    """The δ that are offered: from the earliest time learned, and where noise comes last from a little noise on."""
    least = max(learned, DELTAS[1]) if ALL[sampler].noisy else learned
    return sorted({least, *(delta for delta in DELTAS if delta > least)})


# ---- one measure at a time --------------------------------------------------------------------------------------
def kept_delta(delta: float, sampler: str, learned: float) -> float:
    """δ as it is, where these samples can be measured there; else the usual one of the sampler."""
    return delta if delta >= _stops(sampler, learned)[0] else delta_for(sampler, learned)


def choose_measure() -> None:
    """Somebody chose δ or the divergence: nothing need be said of it."""
    state.set_value("measure chosen", True)


def measure_note(runs: Sequence[Run], config: SamplerConfig, direction: Direction) -> str:
    """On Explore: what of the measure changed although nobody chose it; else nothing."""
    learner = "this run" if len(runs) == 1 else "one of these runs"
    view = runs[0].key, config.sampler
    return changed_measure("explore", view, config.sampler, (direction, config.delta), learner)


def changed_measure(
    page: str, view: Hashable, sampler: str, measure: tuple[Direction, float], learner: str = "this run"
) -> str:
    """What of a page's measure, direction and δ, changed although nobody chose it, and that the numbers before and
    after cannot be compared; else nothing.

    Args:
        page: each has a measure of its own.
        view: another one is drawn anew, and what was said of the last is over.
        sampler: by which is drawn.
        measure: the direction and δ.
        learner: whose earliest time δ cannot go below.
    """
    last_view, last, words = state.value(f"measure:{page}", (view, measure, ""))
    chosen = state.take("measure chosen")
    if measure != last:
        words = "" if chosen else f"{_changed(last, measure, sampler, learner)} {NOT_COMPARED}"
    elif view != last_view:
        words = f"δ stays {measure[1]:g}, so that this number can be compared with the last one." if words else ""
    state.set_value(f"measure:{page}", (view, measure, words))
    return words


def _changed(last: tuple[Direction, float], now: tuple[Direction, float], sampler: str, learner: str) -> str:
    parts = []
    if now[1] != last[1]:
        why = (
            "samples with fresh noise have no density there"
            if ALL[sampler].noisy
            else f"{learner} learned nothing below"
        )
        reason = f", since {why}" if now[1] > last[1] else ""
        parts.append(f"δ went from {last[1]:g} to {now[1]:g}{reason}.")
    if now[0] != last[0]:
        parts.append(f"{direction_words(last[0])} became {direction_words(now[0])}, as this run is drawn.")
    return " ".join(parts)
