"""The code beside a chart runs, and computes the chart."""

import pytest

import cmcore as cm
from app.runs import Run
from app.snippet import snippet
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from tests.app.conftest import untrained


@pytest.mark.parametrize(
    ("sampler", "delta", "direction"), [("deterministic", 0.0, MODEL_DATA), ("renoise", 0.02, DATA_MODEL)]
)
def test_the_code_asks_for_what_is_on_screen(monkeypatch, sampler, delta, direction):
    asked = {}
    monkeypatch.setattr(cm, "load", lambda folder: untrained())

    def kl_versus_steps(model, target, steps, **choices):
        asked.update(choices, steps=steps, target=target)
        raise StopIteration

    monkeypatch.setattr(cm, "kl_versus_steps", kl_versus_steps)
    run = Run("eight_gaussians", "Eight Gaussians", untrained(), shipped=True)
    with pytest.raises(StopIteration):
        exec(snippet(run, SamplerConfig(sampler=sampler, delta=delta), direction), {})
    assert (asked["sampler"], asked["delta"], asked["direction"]) == (sampler, delta, direction)
    assert asked["steps"] == [1, 2, 4, 8, 16]


def test_a_run_of_this_session_is_trained_again():
    run = Run("moons-1", "Two moons", untrained("moons"))
    code = snippet(run, SamplerConfig(), MODEL_DATA)
    assert "cm.make_target('moons')" in code
    assert "steps=1" in code
    compile(code, "snippet", "exec")
