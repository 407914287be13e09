"""A shared server computes so much and no more, whoever asks; at home nothing changes."""

import pytest
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.limits import CHANGES, SWITCH, OverLimit, in_words, limits
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.runtime import _wanted
from tests.app.conftest import html, poll


@pytest.fixture
def hosted(monkeypatch):
    monkeypatch.setenv(SWITCH, "1")


def train_page():
    at = AppTest.from_function(_train, default_timeout=60).run()
    assert not at.exception
    return at


def _train():
    from app.views.train import train

    train()


def test_at_home_everything_that_the_page_offers_is_within_the_limits():
    from app.controls.training import BUDGETS, NETWORKS

    assert not limits().hosted
    assert not in_words()
    for seconds in BUDGETS:
        for _, network in NETWORKS.values():
            limits().check(TrainingConfig(network=network, seconds=seconds), cm.make_target("gaussian", dim=16))


@pytest.mark.parametrize(
    ("config", "dim", "words"),
    [
        ({"seconds": 61}, 2, "60 seconds of training"),
        ({"steps": 20_001}, 2, "20,000 steps"),
        ({"steps": 9, "network": NetworkConfig(width=97)}, 2, "96 units"),
        ({"steps": 9, "network": NetworkConfig(depth=7)}, 2, "6 layers"),
        ({"steps": 9}, 9, "8 dimensions"),
    ],
)
def test_hosted_refuses_more_than_its_caps_in_a_sentence(hosted, config, dim, words):
    target = cm.make_target("gaussian", dim=dim) if dim > 2 else cm.make_target("moons")
    with pytest.raises(OverLimit, match=words):
        limits().check(TrainingConfig(**config), target)


def test_single_limits_are_changed_as_json_and_nothing_else_gets_through(hosted, monkeypatch):
    monkeypatch.setenv(CHANGES, '{"trainings": 3, "budget": 20}')
    assert (limits().trainings, limits().budget, limits().steps) == (3, 20, 20_000)
    for wrong in ("nonsense", "[1]", '{"trainings": 0}', '{"speed": 1}', '{"budget": NaN}'):
        monkeypatch.setenv(CHANGES, wrong)
        with pytest.raises(ValueError, match=CHANGES):
            limits()
    monkeypatch.setenv(SWITCH, "perhaps")
    with pytest.raises(ValueError, match=SWITCH):
        limits()


def test_hosted_memory_goes_back_to_the_system(hosted, monkeypatch):
    from app.limits import prepare_process

    monkeypatch.delenv("CMCORE_TUNING", raising=False)
    prepare_process()
    assert _wanted() == ["matmul"]


def test_hosted_the_page_offers_what_the_caps_allow_and_says_so(hosted, shipped):
    at = train_page()
    assert in_words() in " ".join(caption.value for caption in at.caption).replace("\\", "")
    assert at.select_slider(key="budget").options[-1] == "1 min"
    assert len(at.selectbox(key="network").options) == 2
    assert at.number_input(key="train_steps").max == 20_000
    at.button_group(key="toy").set_value("gaussian").run()
    assert at.slider(key="dim:gaussian").max == 8


def test_hosted_numbers_that_no_widget_offers_are_not_computed(hosted, shipped):
    at = train_page()
    at.button_group(key="toy").set_value("gaussian").run()
    at.number_input(key="train_steps").set_value(10**6)  # as a client that is not the page would send it
    at.slider(key="dim:gaussian").set_value(10**6)
    at.run()
    assert not at.exception
    assert at.slider(key="dim:gaussian").value <= 8
    assert at.number_input(key="train_steps").value is None


@pytest.mark.slow
def test_hosted_a_second_training_waits_with_its_place_and_the_time(hosted, shipped, monkeypatch):
    monkeypatch.setenv(CHANGES, '{"trainings": 1}')
    first, second = train_page(), train_page()
    for at in (first, second):
        at.select_slider(key="budget").set_value(10).run()
        at.button(key="start").click().run()
        assert not at.exception
    poll(second, lambda at: "Place 1" in html(at))
    assert "Training starts " in html(second)
    first.button(key="stop").click().run()
    poll(second, lambda at: "step " in html(at) or "Preparing" in html(at), seconds=120)
    second.button(key="stop").click().run()
    for at in (first, second):
        poll(at, lambda at: "Stopped" in html(at), seconds=120)
