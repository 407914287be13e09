"""Bound B: every ingredient against a Gaussian's closed forms, and the bound itself where both sides are known."""

import math
from itertools import pairwise

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.flow import ExactFlow, velocity
from cmcore.model import FlowMap
from cmcore.streams import stream
from cmcore.targets import GaussianMixture, make_target
from cmcore.theory import bound_b, fit_line

WIDTHS = torch.tensor([3.0, 0.2], dtype=torch.float64)
GAUSSIAN = GaussianMixture([1.0], [[0.4, -0.7]], WIDTHS[None])
ATOMS = GaussianMixture([0.5, 0.5], [[-1.0], [1.5]], 0.0)
PAIR = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1)


def variance(u):
    """v_u = 1 + e^{-2u} (λ − 1), coordinate by coordinate."""
    return 1 + math.exp(-2 * u) * (WIDTHS - 1)


class Disturbed(torch.nn.Module):
    """The exact map plus a shift that grows with the jump; its velocity is off by the same shift."""

    def __init__(self, target, shift):
        super().__init__()
        self.target, self.shift, self.flow = target, shift, ExactFlow(target)

    def forward(self, x, t, s):
        return self.flow(x, t, s) + self.shift * (t - s)

    def velocity(self, x, t):
        return velocity(self.target, x, t) - self.shift


def teacher_map(target, tau):
    """f made of whole teacher steps, each the exponential integrator: what a perfect distillation learns."""

    def f(x, t, s):
        steps = round((t - s) / tau)
        for n in range(steps):
            x = math.exp(tau) * x + math.expm1(tau) * target.score(x, t - n * tau)
        return x

    return f


def within(interval, truth, rel=0.0):
    return interval.low * (1 - rel) <= truth <= interval.high * (1 + rel)


@pytest.mark.parametrize(("t", "s", "tau"), [(1.0, 0.1, 0.3), (2.0, 0.0, 0.25)])
def test_ingredients_of_the_exact_map_of_a_gaussian(t, s, tau):
    b = bound_b(ExactFlow(GAUSSIAN), GAUSSIAN, t=t, s=s, tau=tau, seed=0)
    times = [s + n * b.tau for n in range(b.substeps + 1)]
    assert b.substeps == round((t - s) / tau)
    assert b.map_error.value < 1e-12
    assert b.score_error.value == 0

    stretch = max(float((variance(s) / variance(u)).sqrt().max()) for u in times[:-1])
    assert b.lipschitz.value == pytest.approx(stretch, rel=1e-9)

    # (1 − 1/v)₊ du integrates to ½ log(v_s/v_t) where v > 1, and to 0 where v < 1.
    widest = float((variance(s) / variance(t)).clamp_min(1).max()) ** 0.5
    assert b.lipschitz_exact.value == pytest.approx(widest, rel=1e-3)

    # ∇log p_u(x_u) = −ξ/√v_u along the flow, and v' = −2(v − 1).
    speed = max(float(((variance(u) - 1) ** 2 / variance(u) ** 3).sum()) for u in torch.linspace(s, t, 999).tolist())
    assert within(b.score_change, math.sqrt(speed), rel=1e-3)

    residuals = []
    for before, u in pairwise(times):
        now, then, end = variance(u), variance(before), variance(s)
        off = math.exp(b.tau) * now.sqrt() - math.expm1(b.tau) / now.sqrt() - then.sqrt()
        residuals.append(float((end / then * off**2).sum()) ** 0.5)
    assert within(b.consistency, max(residuals))


def test_the_score_error_is_that_of_the_models_velocity():
    shift = torch.tensor([0.3, -0.4], dtype=torch.float64)
    b = bound_b(Disturbed(GAUSSIAN, shift), GAUSSIAN, t=1.0, s=0.2, tau=0.1, seed=0, score="model")
    assert b.score_error.value == pytest.approx(0.5, rel=1e-9)
    assert b.map_error.value == pytest.approx(0.5 * 0.8, rel=1e-9)


def test_both_right_hand_sides_are_made_of_the_ingredients():
    shift = torch.tensor([0.03, 0.0], dtype=torch.float64)
    b = bound_b(Disturbed(GAUSSIAN, shift), GAUSSIAN, t=1.0, s=0.2, tau=0.2, seed=0, score="model", n=512)
    for end in ("value", "low", "high"):
        cd, sc, d = (getattr(one, end) for one in (b.consistency, b.score_error, b.score_change))
        one_step = (math.exp(0.2) - 1) * sc + 0.02 * math.exp(0.2) * d
        assert getattr(b.total, end) == pytest.approx(4 * cd + 4 * b.lipschitz.value * one_step, rel=1e-12)
        leading = 4 * cd + 0.8 * b.lipschitz.value * (sc + 0.1 * d)
        assert getattr(b.leading, end) == pytest.approx(leading, rel=1e-12)


@pytest.mark.parametrize("score", ["exact", "model"])
@pytest.mark.parametrize(("tau", "size"), [(0.1, 3.0), (0.9, 0.1)])
@pytest.mark.parametrize("target", [GAUSSIAN, PAIR, ATOMS])
def test_the_bound_lies_above_the_map_error(target, tau, size, score):
    shift = torch.full((target.dim,), size, dtype=torch.float64)
    b = bound_b(Disturbed(target, shift), target, t=1.0, s=0.1, tau=tau, seed=0, n=64, score=score)
    assert b.map_error.value <= b.total.value + 1e-12


@pytest.mark.parametrize("target", [GAUSSIAN, PAIR])
def test_a_perfect_distillation_is_of_first_order_in_tau(target):
    """ε_cd = 0, so the map error is the teacher's alone: C4's straight line of slope 1, below its bound."""
    taus = [0.8 / steps for steps in (6, 12, 24)]
    bounds = [bound_b(teacher_map(target, tau), target, t=1.0, s=0.2, tau=tau, seed=0, n=256) for tau in taus]
    assert all(b.consistency.value < 1e-12 for b in bounds)
    assert all(b.map_error.high <= b.total.low for b in bounds)
    for side in ("map_error", "total"):
        heights = [math.log(getattr(b, side).value) for b in bounds]
        assert fit_line([math.log(tau) for tau in taus], heights).slope == pytest.approx(1, abs=0.1)


def test_in_one_dimension_the_exact_maps_constant_is_a_ratio_of_densities():
    """Φ' = p_t(x)/p_s(Φ(x)), and no trajectory stretches more than its own exponential integral says."""
    b = bound_b(ExactFlow(PAIR), PAIR, t=1.0, s=0.2, tau=0.4, seed=0, n=1024)
    x = PAIR.sample(1024, t=1.0, generator=stream(0, "bound B at 1"))
    middle, end = (ExactFlow(PAIR)(x, 1.0, u) for u in (0.6, 0.2))
    slopes = (PAIR.log_prob(middle, 0.6) - PAIR.log_prob(end, 0.2)).exp()
    assert b.lipschitz.value == pytest.approx(max(1.0, float(slopes.max())), rel=1e-6)
    assert b.lipschitz.value <= b.lipschitz_exact.value
    assert b.lipschitz.quantile <= b.lipschitz.value
    assert b.lipschitz.beyond == pytest.approx(3 / 1024, rel=0.01)


def network():
    return FlowMap(2, NetworkConfig(width=16, depth=2), generator=stream(0, "weights"))


@pytest.mark.parametrize("score", ["exact", "model"])
def test_a_network_is_bounded_too(score):
    b = bound_b(network(), make_target("eight_gaussians"), t=1.0, s=0.2, tau=0.2, seed=0, n=256, score=score)
    assert 0 < b.map_error.value <= b.total.value


@pytest.mark.cuda
def test_on_cuda_the_bound_is_the_same():
    here, there = (
        bound_b(f, GAUSSIAN, t=1.0, s=0.2, tau=0.2, seed=0, n=256, score="model") for f in (network(), network().cuda())
    )
    assert there.total.value == pytest.approx(here.total.value, rel=1e-6)
    assert there.map_error.value == pytest.approx(here.map_error.value, rel=1e-6)


def test_what_the_bound_asks_for():
    flow = ExactFlow(GAUSSIAN)
    with pytest.raises(ValueError, match="t > s"):
        bound_b(flow, GAUSSIAN, t=0.1, s=0.1, tau=0.1, seed=0)
    with pytest.raises(ValueError, match="τ must be positive"):
        bound_b(flow, GAUSSIAN, t=1.0, s=0.1, tau=0.0, seed=0)
    with pytest.raises(ValueError, match="Only a learned map"):
        bound_b(flow, GAUSSIAN, t=1.0, s=0.1, tau=0.1, seed=0, score="model")
    with pytest.raises(ValueError, match="s > 0"):
        bound_b(flow, ATOMS, t=1.0, s=0.0, tau=0.1, seed=0)
