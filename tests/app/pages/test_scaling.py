"""Scaling: shipped answers at once, other settings measured in the background, links, and refusals as sentences."""

import json
from typing import Literal

import pytest
from streamlit.testing.v1 import AppTest

from app.experiments.fields import experiment_settings, field_key
from app.experiments.results import SHIPPED, snippet_of
from app.pages.scaling.link import questions
from app.ui.cards import typeset
from app.ui.setting_widget import widget_value
from cmcore.experiments import EXPERIMENTS, Result
from tests.app.conftest import PATIENCE, html, poll


def scaling(**query):
    def script():
        from app.pages.scaling.page import scaling

        scaling()

    at = AppTest.from_function(script, default_timeout=PATIENCE)
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


@pytest.mark.parametrize("name", [file.stem for file in SHIPPED.glob("*.json")])
def test_a_shipped_answer_is_one_of_todays_questions_and_is_shown_at_once(name):
    result = Result.from_json((SHIPPED / f"{name}.json").read_bytes())
    assert EXPERIMENTS[result.experiment](**result.config).model_dump(mode="json") == json.loads(
        json.dumps(result.config)
    )
    at = scaling(question=name)
    assert not at.exception
    assert EXPERIMENTS[name].question in html(at).replace("&#x27;", "'")
    assert typeset(result.reading)[:40] in html(at)


def test_other_settings_are_measured_in_the_background():
    at = scaling(question="thresholds")
    at.number_input(key=field_key("thresholds", "most_steps")).set_value(4).run()
    assert at.query_params["o.most_steps"] in ("4", ["4"])
    assert any("Its settings differ" in caption.value for caption in at.caption)
    at.button(key="measure").click().run()
    poll(at, lambda at: not any("Its settings differ" in caption.value for caption in at.caption), seconds=90)
    assert "K = 4" in html(at)


def test_a_link_opens_the_question_with_its_settings_and_what_does_not_fit_is_a_sentence():
    at = scaling(question="thresholds", **{"o.most_steps": "8", "o.distance": "far", "o.signs": "odd"})
    assert at.number_input(key=field_key("thresholds", "most_steps")).value == 8
    assert len(at.warning) == 2
    assert all("could not be followed" in warning.value for warning in at.warning)
    assert scaling(question="no_such").warning


@pytest.mark.parametrize("name", questions())
def test_every_field_survives_a_link(name):
    for setting in experiment_settings(name):
        if setting.default is not None:
            assert setting.read(setting.write(setting.default)) == widget_value(setting, setting.default)


@pytest.mark.parametrize("name", questions())
def test_every_field_has_a_name_for_people(name):
    labels = [setting.label for setting in experiment_settings(name)]
    assert len(set(labels)) == len(labels)
    names = {setting.name.replace("_", " ").capitalize() for setting in experiment_settings(name)}
    plain = {"Batch", "Seed", "Target", "Training steps"}  # their names in words are what people call them
    assert names.isdisjoint(set(labels) - plain)


def test_o6_an_experiment_with_fields_that_nobody_named_opens_like_any_other(monkeypatch):
    from pydantic import Field

    class Unnamed(EXPERIMENTS["thresholds"]):
        how_many_tries: int = 3
        wished_for: float = Field(0.5, gt=0, title="What is wished for")
        kind_of_law: Literal["one", "other"] = "one"
        with_a_switch: bool = False
        some_levels: tuple[float, ...] = (0.1, 0.2)
        perhaps: int | None = None

    monkeypatch.setitem(EXPERIMENTS._entries, "unnamed", Unnamed)
    at = scaling(question="unnamed", **{"o.how_many_tries": "5"})
    assert not at.exception
    assert at.number_input(key=field_key("unnamed", "how_many_tries")).value == 5
    labels = {widget.label for kind in (at.number_input, at.selectbox, at.toggle, at.text_input) for widget in kind}
    assert {"How many tries", "What is wished for", "Kind of law", "With a switch", "Some levels", "Perhaps"} <= labels


def test_the_code_beside_an_answer_makes_it_again():
    question = EXPERIMENTS["thresholds"](most_steps=4)
    told = {}
    exec(snippet_of("thresholds", question).replace("print", "str"), told)
    assert told["result"].config == question.model_dump(mode="json")
