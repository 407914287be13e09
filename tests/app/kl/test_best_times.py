"""The search for the best times draws as the page does."""

from types import SimpleNamespace

import pytest

from app.kl import best_times
from cmcore.config import SamplerConfig
from cmcore.divergences import DATA_MODEL


@pytest.mark.parametrize("sampler", ["deterministic", "renoise", "algorithm_1"])
def test_the_search_is_for_the_times_of_the_sampler_that_is_shown(sampler, monkeypatch):
    asked = {}
    monkeypatch.setattr(best_times, "least_kl", lambda model, target, steps, **choices: asked.update(choices))
    run = SimpleNamespace(model=None, target=None)
    best_times.search_times(run, SamplerConfig(sampler=sampler, delta=0.02), DATA_MODEL, lambda share, words: None)
    assert asked["sampler"] == sampler
