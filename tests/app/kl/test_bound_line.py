"""The sentence of theory holds the quantity on screen, and says whose claim it is."""

from app.kl.bound_line import sentence
from app.kl.table import calls_for
from app.runs.library import Run
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate
from tests.app.conftest import untrained


def estimate(value, direction=MODEL_DATA, *, trusted=True):
    return Estimate(value, value * 0.9, value * 1.1, direction, 0.0, "change_of_variables", 100, 0.0, trusted, "why")


def test_smooth_data():
    run = Run("k", "l", untrained())
    words = sentence(run, SamplerConfig(steps=4), estimate(0.0246), None, 3e-6)
    assert "the paper’s abstract states KL = O(ε²) after O(log(d/ε)) jumps" in words
    assert "ε² = 0.0246 and d = 2" in words
    assert "2.5" in words  # log(2/√0.0246)
    assert "4 jumps" in words
    assert "the error comes from the learned map" in words


def test_rough_data_and_no_estimate_yet():
    run = Run("k", "l", untrained("checkerboard"))
    words = sentence(run, SamplerConfig(steps=4), None, None, 3e-6)
    assert "O(d·log(d/ε))" in words
    assert "On screen" not in words


def test_an_untrusted_estimate_is_not_put_into_a_sentence():
    run = Run("k", "l", untrained())
    assert "On screen" not in sentence(run, SamplerConfig(steps=4), estimate(0.1, trusted=False), None, 3e-6)


def test_the_bound_is_called_derived_here():
    run = Run("k", "l", untrained())
    config = SamplerConfig(steps=4, sampler="renoise", delta=0.02)
    words = sentence(run, config, estimate(0.004, DATA_MODEL), 0.03, 0.01)
    assert "derived here" in words
    assert "0.0300 nats" in words
    assert "longer horizon" in words


def test_calls_for_the_same_kl():
    falling = {1: 1.0, 2: 0.25, 4: 1 / 16, 8: 1 / 64}
    assert calls_for(falling, 1 / 16) == "≈ 4 calls"
    assert calls_for(falling, 0.5) == "≈ 1 call"
    assert calls_for(falling, 2.0) == "≤ 1 call"
    assert calls_for(falling, 1e-5) == "> 8 calls"
    assert calls_for({}, 0.1) == ""
