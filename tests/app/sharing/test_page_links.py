"""Links that pages wrote before today: each opens the view that it holds, and is written again as it was."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import PATIENCE

OLD = {
    "explore": {
        "run": "checkerboard", "n": "8", "sampler": "renoise", "grid": "karras", "eta": "0.7", "seed": "3",
        "start": "1,-0.5", "times": "1.5,0.8,0.3", "particles": "500", "fresh": "Redrawn", "delta": "0.05",
        "from": "model",
    },
    "inside": {"run": "checkerboard", "n": "8", "map": "semigroup", "t": "1.94", "s": "0.5", "at": "1.2,-0.3"},
    "kl": {
        "runs": "checkerboard,eight_gaussians", "baselines": "heun", "score": "model", "sampler": "renoise",
        "eta": "0.7", "from": "data", "most": "32", "horizon": "grows", "grid": "karras", "T": "2.5", "h": "0.2",
        "show": "bands", "delta": "0.1",
    },
    "runs": {"runs": "checkerboard", "n": "8", "seed": "2"},
    "scaling": {"question": "dimension", "o.max_d": "1000", "o.case": "skewed", "o.eps": "0.25"},
    "train": {
        "target": "iris", "dim": "4", "view": "1,2", "delta": "0.01", "objective": "consistency", "budget": "10",
        "network": "small", "steps": "500", "seed": "7", "o.velocity": "exact", "o.intervals": "32",
        "o.metric": "pseudo_huber", "o.metric_scale": "0.00076", "o.to_data": "0.3",
    },
    "lessons": {"lesson": "more-steps", "step": "2"},
}  # fmt: skip
"""One of each page, with a value beside its default for every parameter."""


def reopened(page: str, asked: dict[str, str]) -> AppTest:
    """A session that opened the link and wrote it again, with what was said of it in `problems`."""

    def script(page: str) -> None:
        import streamlit as st

        from tests.bad_input.test_whole_links import LINKS

        st.session_state["problems"] = LINKS[page].open()
        LINKS[page].write()

    at = AppTest.from_function(script, default_timeout=PATIENCE, args=(page,))
    for name, text in asked.items():
        at.query_params[name] = text
    at.run()
    assert not at.exception
    return at


def address(at: AppTest) -> dict[str, str]:
    return {name: text[0] if isinstance(text, list) else text for name, text in at.query_params.items()}


@pytest.mark.parametrize("page", OLD)
def test_a_link_of_before_opens_its_view_and_is_written_again(shipped, page):
    at = reopened(page, OLD[page])
    assert at.session_state["problems"] == []
    assert address(at) == OLD[page]


def test_the_first_step_of_a_lesson_is_written_too(shipped):
    assert address(reopened("lessons", {"lesson": "more-steps"})) == {"lesson": "more-steps", "step": "1"}


def test_switches_of_both_spellings_open(shipped):
    for text in ("False", "false"):
        at = reopened("scaling", {"question": "dimension", "o.baselines": text})
        assert at.session_state["problems"] == []
        assert address(at)["o.baselines"] == "false"


def test_a_setting_of_a_refused_question_is_left_alone(shipped):
    at = reopened("scaling", {"question": "nobody", "o.max_d": "1000"})
    assert len(at.session_state["problems"]) == 1
    assert address(at) == {}


def test_a_setting_that_there_is_not_is_named(shipped):
    at = reopened("scaling", {"question": "dimension", "o.nothing": "1", "o.max_d": "1000"})
    (problem,) = at.session_state["problems"]
    assert "nothing" in problem
    assert address(at) == {"question": "dimension", "o.max_d": "1000"}


def test_a_drawing_and_a_table_are_written_whole(shipped):
    table = {"table": "iris", "components": "3", "density": "gaussian_mixture"}
    assert address(reopened("train", table)) == table
    assert address(reopened("train", {"drawing": ""})) == {"drawing": ""}
