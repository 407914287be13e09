"""A shared server computes so much and no more, whoever asks; at home nothing changes."""

from dataclasses import replace
from functools import partial

import pytest

import cmcore as cm
from app.background import pools
from app.experiments.fields import experiment_settings, field_key
from app.experiments.results import COSTLY, ask, first_choices, most_of
from app.hosting.limits import CHANGES, SWITCH, OverLimit, in_words, limits
from app.pages.runs import ledger
from app.pages.scaling.link import questions
from app.pages.train.objective import objective_settings
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.experiments import EXPERIMENTS
from cmcore.model import FlowMap
from cmcore.objectives import OBJECTIVES
from cmcore.store import BadRun, to_zip
from cmcore.streams import stream
from tests.app.conftest import html, page_of, poll, untrained


@pytest.fixture
def hosted(monkeypatch):
    monkeypatch.setenv(SWITCH, "1")


train_page = partial(page_of, "train")
scaling_page = partial(page_of, "scaling")


def test_at_home_everything_that_the_page_offers_is_within_the_limits():
    from app.pages.train.budget import NETWORKS
    from app.training.budgets import BUDGETS

    assert not limits().hosted
    assert not in_words()
    for seconds in BUDGETS:
        for _, network in NETWORKS.values():
            limits().check(TrainingConfig(network=network, seconds=seconds), cm.make_target("gaussian", dim=16))


@pytest.mark.parametrize(
    ("config", "dim", "words"),
    [
        ({"steps": 9, "objective_parameters": {"trajectories": 40_001}}, 2, "40,000 trajectories"),
        ({"steps": 9, "objective_parameters": {"levels": 66}}, 2, "65 levels"),
        ({"steps": 9, "objective_parameters": {"teacher_steps": 20_001}}, 2, "20,000 steps of the teacher's training"),
        ({"steps": 9, "objective_parameters": {"solver_steps": 65}}, 2, "64 steps of the teacher's solver"),
        ({"steps": 9, "objective_parameters": {"particles": 129}}, 2, "128 particles in a group"),
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


def test_what_the_page_caps_of_an_objective_is_refused_by_every_door():
    """A code or a link reaches `check` without the page's controls."""
    target = cm.make_target("moons")
    for objective in OBJECTIVES:
        for setting in objective_settings(objective):
            if setting.capped:
                asked = TrainingConfig(steps=9, objective_parameters={setting.name: int(setting.most) + 1})
                with pytest.raises(OverLimit):
                    limits().check(asked, target)


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


# ---- the questions of Scaling -----------------------------------------------------------------------------------
def setting(name, field):
    return next(setting for setting in experiment_settings(name) if setting.name == field)


def dearer(name):
    """The question with each costly field in turn a little beyond the shipped answer, and each list one longer."""
    first = first_choices(name)
    for field, value in first.items():
        if isinstance(value, int) and field in COSTLY:
            yield field, {**first, field: value + 1}
        elif isinstance(value, list | tuple) and isinstance(value[0], str):
            yield field, {**first, field: [*value, value[0]]}
        elif isinstance(value, list | tuple):
            if field in COSTLY:
                yield field, {**first, field: [*value[:-1], value[-1] + 1]}
            yield field, {**first, field: sorted([*value, (value[0] + value[-1]) / (1 if field in COSTLY else 2)])}


@pytest.mark.parametrize("name", questions())
def test_hosted_no_question_goes_further_than_the_shipped_answer_by_any_door(hosted, name):
    at = scaling_page(question=name)
    assert not [w.value for w in at.warning], "the shipped settings themselves are allowed"
    refused = 0
    for field, choices in dearer(name):
        try:
            question = EXPERIMENTS[name](**choices)
        except ValueError:
            continue  # the engine itself allows no more
        refused += 1
        with pytest.raises(OverLimit, match=field):
            ask(name, question)
        if isinstance(choices[field], int):
            with pytest.raises(ValueError, match="here it goes up to"):
                setting(name, field).read(str(choices[field]))
            assert at.number_input(key=field_key(name, field)).max == most_of(name, field)
    assert refused


def test_hosted_a_link_that_asks_for_more_is_answered_by_a_sentence(hosted):
    at = scaling_page(question="equal_calls", **{"o.steps": "1000000", "o.calls": "1, 2, 256"})
    told = " ".join(warning.value for warning in at.warning).replace("\\", "")
    assert "here it goes up to 4,000" in told
    assert "Network calls: this shared server goes up to 16, and 256 was asked for." in told
    assert at.button(key="measure").disabled
    at = scaling_page(question="early_stopping", **{"o.dims": "1, 1000000"})
    assert at.button(key="measure").disabled
    assert len(at.warning) == 1


def test_at_home_a_question_goes_as_far_as_the_engine(monkeypatch):
    assert most_of("equal_calls", "steps") is None
    assert setting("equal_calls", "steps").read("1000000") == 1_000_000
    monkeypatch.setenv(SWITCH, "1")
    monkeypatch.setenv(CHANGES, '{"effort": 2}')
    assert most_of("equal_calls", "steps") == 2 * first_choices("equal_calls")["steps"]


@pytest.fixture
def impatient(hosted, monkeypatch):
    """Workers for questions that end everything at its first part."""
    monkeypatch.setenv(CHANGES, '{"answer": 1e-9}')
    monkeypatch.setattr(pools, "_pools", {})


def test_an_answer_that_takes_too_long_ends_with_a_sentence_and_the_page_goes_on(impatient):
    at = scaling_page(question="renoising")
    at.number_input(key=field_key("renoising", "seed")).set_value(7).run()
    at.button(key="measure").click().run()
    poll(at, lambda at: any("Nothing runs for longer" in warning.value for warning in at.warning))
    assert not at.button(key="measure").disabled


def test_hosted_a_run_that_is_brought_in_is_no_larger_than_one_trained_here(hosted):
    model = untrained()
    network = NetworkConfig(width=97, depth=1)
    large = FlowMap(2, network, generator=stream(0, "weights"))
    content = to_zip(replace(model, flow_map=large, config=model.config.model_copy(update={"network": network})))
    with pytest.raises(BadRun, match="96 units in a layer, and 97"):
        ledger.bring_in("run.zip", content)


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
