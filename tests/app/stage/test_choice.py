"""What is chosen on the stage holds against controls that have not followed yet."""

import pytest
from streamlit.testing.v1 import AppTest

from app.stage.sampler import SAMPLERS
from tests.app.conftest import PATIENCE


def take_while_controls_lag(component: dict, reported: dict, take: str) -> None:
    """In a session: what the stage sent, while the page's controls report what they showed before."""
    import streamlit as st

    from app.stage import stage

    st.session_state["particles"] = component
    for key, value in reported.items():
        st.session_state[key] = value
    getattr(stage, take)("")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_n_holds_when_the_sampler_is_turned_at_once(sampler):
    """The slider was told 8 and its browser still says 4: the key r must not bring 4 back."""
    component = {"choice": {"steps": 8, "sampler": sampler, "release": 2}}
    reported = {"steps": 4, "sampler": "deterministic"}
    state = taken(component, reported, "_take_choice")
    assert (state["steps"], state["sampler"]) == (8, sampler)


def test_a_page_without_a_control_for_the_sampler_keeps_its_own():
    state = taken({"choice": {"steps": 8, "sampler": None, "release": 1}}, {"sampler": "renoise"}, "_take_choice")
    assert (state["steps"], state["sampler"]) == (8, "renoise")


def taken(component: dict, reported: dict, take: str):
    how = {"component": component, "reported": reported, "take": take}
    at = AppTest.from_function(take_while_controls_lag, default_timeout=PATIENCE, kwargs=how).run()
    assert not at.exception
    return at.session_state
