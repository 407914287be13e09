"""What a browser may send in a component's name: taken in its own shape, or ignored with one line in the log."""

import json
import logging

import pytest
from streamlit.components.v2.bidi_component.serialization import BidiComponentSerde, deserialize_trigger_list
from streamlit.testing.v1 import AppTest

from app.components.values import (
    LONGEST,
    PinnedPoint,
    SeenSteps,
    Sketch,
    StagedChoice,
    StagedStart,
    StagedTimes,
    Step,
    sent,
)
from tests.app.conftest import PATIENCE
from tests.bad_input.mutate import WRONG, changed_json

SHAPES = {
    "start": (StagedStart, {"at": [0.5, -1], "release": 3}),
    "times": (StagedTimes, {"steps": 4, "times": [1.5, 1.0, 0.5], "release": 2}),
    "choice": (StagedChoice, {"steps": 8, "sampler": "renoise", "release": 1}),
    "at": (PinnedPoint, {"at": [1.5, 0.25]}),
    "drawing": (Sketch, {"strokes": [{"width": 14, "points": [[0, 0], [10, -10]]}], "release": 4}),
    "steps": (Step, 4),
    "seen": (SeenSteps, {"flow-map": [1, 2], "learning": []}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_s9_a_value_has_its_shape_or_is_ignored_in_one_line(name, caplog):
    shape, right = SHAPES[name]
    assert sent({name: right}, name, shape) is not None
    assert not caplog.records
    for values in (None, [], "x", 3, {}, {name: None}):
        assert sent(values, name, shape) is None
    assert not caplog.records
    for wrong in (*WRONG, 10**400, [[1e999]], *(changed_json({name: right}, seed).get(name) for seed in range(120))):
        caplog.clear()
        value = sent({name: wrong}, name, shape)
        assert len(caplog.records) == (value is None and wrong is not None)
        assert all(record.exc_info is None and len(record.getMessage()) < 200 for record in caplog.records)


def test_s9_json_of_a_component_is_bounded_before_it_is_read(caplog):
    texts = (
        "[" * 100_000,
        '{"a":' * 5_000,
        "{",
        "nope",
        "1" * 5_000,
        f'"{"x" * LONGEST}"',
        '["a"]',
        '{"a": "\\ud800"}',
    )
    for text in texts:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert BidiComponentSerde().deserialize(text) == {}
            deserialize_trigger_list(text)
        assert all(record.exc_info is None and len(record.getMessage()) < 200 for record in caplog.records)
    assert BidiComponentSerde().deserialize('{"steps": 4}') == {"steps": 4}
    largest = {"drawing": {"strokes": [{"width": 14, "points": [[-150, -150]] * 6_000}], "release": 1}}
    assert BidiComponentSerde().deserialize(json.dumps(largest)) == largest


def take_all(values: list) -> None:
    """In a session: every taker of every component, of every value."""
    import streamlit as st

    from app import state
    from app.pages.inside import page as inside
    from app.pages.lessons import page as lessons
    from app.pages.train import sketch as drawing
    from app.stage import stage

    for value in values:
        for name, takers in {
            "particles": (stage._take_choice, stage._take_start, stage._take_times),
            inside.FLOW: (inside._take_steps, inside._take_point),
            lessons.STEPS: (lessons._go,),
            lessons.MEMORY: (lessons._remember,),
            drawing.PAD: (drawing._take_drawing,),
        }.items():
            for taker in takers:
                for whole in (
                    value,
                    dict.fromkeys(("choice", "steps", "start", "times", "at", "go", "drawing", "seen"), value),
                ):
                    st.session_state[name] = whole
                    taker("") if name == "particles" else taker()
    assert state.value("own start") in (None, (1.0, 2.0))
    assert state.value("moved times") is None
    assert state.value("drawing", "") == ""


def test_s9_no_taker_fails_on_any_value():
    values = [
        *WRONG,
        *({"at": wrong, "sampler": wrong, "steps": wrong, "times": wrong, "strokes": wrong} for wrong in WRONG),
    ]
    at = AppTest.from_function(take_all, default_timeout=PATIENCE, kwargs={"values": values}).run()
    assert not at.exception
