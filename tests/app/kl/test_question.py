"""A point is found under all that determines it, and is made once."""

from dataclasses import replace

import pytest

import app.kl.question as question_module
from app.kl.bound_line import sentence
from app.kl.question import Question, bounds_of, forget, measure, paper_bound_at
from app.runs.library import Run
from app.ui.cards import number
from cmcore.chain import make_chain
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate
from cmcore.samplers import SAMPLERS
from cmcore.theory import Decomposition
from tests.app.conftest import untrained


def asked(sampler="renoise", calls=2, direction=DATA_MODEL, delta=0.05, **settings):
    return Question.on_grid(sampler, calls, direction, delta, **settings)


ASKED = asked()


@pytest.fixture(autouse=True)
def nothing_measured():
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    "change",
    [
        {"calls": 4}, {"direction": MODEL_DATA}, {"delta": 0.1}, {"grid": "karras"}, {"horizon": 4.0}, {"step": 0.3},
        {"renoise": 0.9}, {"sampler": "deterministic"},
    ],
)  # fmt: skip
def test_whatever_changes_the_answer_changes_its_key(change):
    run = Run("k", "l", untrained())
    assert ASKED.of(run) != asked(**change).of(run)


def test_what_learned_nothing_belongs_to_the_target():
    one, other = Run("one", "l", untrained()), Run("other", "l", untrained())
    exact = asked("ddim", 4, MODEL_DATA)
    assert exact.of(one) == exact.of(other)
    assert exact.of(one) == replace(exact, renoise=0.9).of(one)
    learned = replace(exact, score="model")
    assert learned.of(one) != learned.of(other)
    assert exact.of(one) != exact.of(Run("one", "l", untrained("checkerboard")))


def test_a_growing_horizon_starts_at_delta_and_k_steps():
    question = asked("heun", 8, MODEL_DATA, 0.02, step=0.25)
    assert question.grid.steps == 8 // SAMPLERS["heun"].calls_per_jump
    assert question.grid.horizon == pytest.approx(0.02 + 0.25 * question.grid.steps)


def test_the_bound_and_the_estimate_of_one_question_make_its_decomposition(monkeypatch):
    monkeypatch.setattr("app.kl.question.LANDINGS", 4096)
    monkeypatch.setattr("app.kl.question.BOUND_POINTS", 512)
    run = Run("k", "l", untrained())
    assert paper_bound_at(run, ASKED) is None
    both = bounds_of(run, ASKED).measure()
    assert paper_bound_at(run, ASKED) is both
    bounded = both.bound_a
    parts = Decomposition.of(bounded, measure(run, ASKED).estimate)
    assert parts.path.value == pytest.approx(parts.initialisation.value + sum(jump.value for jump in parts.jumps))
    assert parts.slack.value == pytest.approx(parts.path.value - parts.measured.value)
    with pytest.raises(ValueError, match="Bound A bounds"):
        Decomposition.of(bounded, measure(run, replace(ASKED, direction=MODEL_DATA)).estimate)


@pytest.mark.parametrize("sampler", ["algorithm_1", "ddim_renoise"])
def test_c8_the_share_of_noise_belongs_to_the_key_of_all_that_renoise(sampler):
    run = Run("k", "l", untrained())
    assert asked(sampler, renoise=0.5).of(run) != asked(sampler, renoise=0.9).of(run)


def test_c8_bound_a_of_the_papers_sampler_is_that_of_its_own_chain(monkeypatch):
    monkeypatch.setattr(question_module, "BOUND_POINTS", 256)
    run = Run("k", "l", untrained())
    papers = asked("algorithm_1", renoise=1.0, grid="constant_step")
    value = bounds_of(run, papers).make()
    chain = make_chain(papers.grid, sampler="algorithm_1", renoise=1.0)
    assert value.chain.etas == chain.etas != bounds_of(run, asked(grid="constant_step", renoise=1.0)).make().chain.etas


def test_c8_the_papers_bound_lies_above_bound_a_and_says_whether_its_assumptions_are_met(monkeypatch):
    monkeypatch.setattr(question_module, "BOUND_POINTS", 256)
    run, papers = Run("k", "l", untrained()), asked("algorithm_1", renoise=1.0)
    assert paper_bound_at(run, papers) is None
    bounds_of(run, papers).measure()
    paper = paper_bound_at(run, papers)
    assert paper.total.value >= paper.bound_a.total.value
    config = SamplerConfig(steps=2, sampler="algorithm_1", delta=0.05, renoise=1.0)
    value = Estimate(0.004, 0.003, 0.005, DATA_MODEL, 0.05, "convolution_grid", 100, 0.0)
    words = sentence(run, config, value, paper.bound_a.total.value, 1e-6, paper=paper)
    assert ("not met" in words) == (not paper.met)
    assert number(paper.total.value) in words
    assert sentence(run, config, value, None, 1e-6, paper=paper) == sentence(run, config, value, None, 1e-6)
