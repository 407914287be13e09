"""E7: the law on two atoms is that of a simulated chain, and its W₂ is the quantile coupling's."""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from cmcore.experiments import EXPERIMENTS, Result
from cmcore.experiments.thresholds import share_after


def test_the_share_is_that_of_a_simulated_chain():
    times, errors, distance, n = [6.0, 3.0, 1.0], [0.3, -0.2, 0.5], 20.0, 400_000
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, generator=generator, dtype=torch.float64)
    for t, e, later in zip(times, errors, [*times[1:], 0.0], strict=True):
        threshold = math.exp(-t) * distance / 2 + e * math.sqrt(1 - math.exp(-2 * t))
        landed = distance * (x > threshold)
        noise = torch.randn(n, generator=generator, dtype=torch.float64)
        x = math.exp(-later) * landed + math.sqrt(1 - math.exp(-2 * later)) * noise
    share = float((landed > 0).double().mean())
    assert share == pytest.approx(share_after(times, errors, distance=distance), abs=4 * 0.5 / math.sqrt(n))


def test_w2_is_that_of_the_quantile_coupling():
    result = EXPERIMENTS["thresholds"](most_steps=2, times=8).run()
    off = abs(share_after([10.0], [0.2], distance=100.0) - 0.5)
    # Only whole distances are travelled, so W₂² = D W₁.
    w1 = wasserstein_distance([0.0, 100.0], [0.0, 100.0], [0.5, 0.5], [0.5 + off, 0.5 - off])
    assert result.facts["one step"] ** 2 == pytest.approx(100 * w1)


def test_exact_thresholds_leave_what_the_start_costs():
    tiny = EXPERIMENTS["thresholds"](error=0.001, horizon=14, most_steps=4).run()
    large = EXPERIMENTS["thresholds"](error=0.5, horizon=14, most_steps=4).run()
    assert tiny.facts["exact map"] == large.facts["exact map"] < tiny.facts["one step"] < large.facts["one step"]


@pytest.mark.parametrize("signs", ["same", "random"])
def test_it_survives_json(signs):
    result = EXPERIMENTS["thresholds"](signs=signs, most_steps=4, times=8, repeats=16).run()
    assert Result.from_json(result.to_json()) == result


def test_atoms_that_are_still_apart_at_the_start_are_refused():
    with pytest.raises(ValueError, match="raise T"):
        EXPERIMENTS["thresholds"](distance=1000, horizon=3)
