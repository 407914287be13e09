"""Laws of every sampler: calls, repeatability, what noise it adds, and equalities between members."""

import math

import pytest
import torch

import cmcore as cm
from cmcore.chain import Stage, make_chain, renoised_chain
from cmcore.config import NetworkConfig
from cmcore.flow import ExactFlow
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.process import sigma
from cmcore.samplers import SAMPLERS, sample, starting_noise
from cmcore.streams import stream
from cmcore.targets import make_target

TARGET = make_target("eight_gaussians")


class Counting:
    """Counts evaluations of a map or a score, for every point of a chunk at once."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def network(seed=0, dim=2):
    small = NetworkConfig(width=16, depth=2)
    return FlowMap(dim, small, generator=torch.Generator().manual_seed(seed))


def source(name):
    return TARGET.score if SAMPLERS[name].needs == "score" else network()


@pytest.fixture(params=list(SAMPLERS))
def name(request):
    return request.param


@pytest.mark.parametrize("delta", [0.0, 0.02])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_calls_reported_are_the_calls_made(name, steps, delta):
    if SAMPLERS[name].noisy and delta == 0:
        pytest.skip("renoising needs δ > 0")
    counting = Counting(TARGET.score if SAMPLERS[name].needs == "score" else network().double())
    draw = sample(counting, 5, steps, sampler=name, delta=delta, dim=2, seed=0)
    assert draw.calls == counting.calls
    assert draw.calls <= SAMPLERS[name].calls_per_jump * steps
    assert draw.states.shape == (steps + 1, 5, 2)
    assert draw.landings.shape == (steps, 5, 2)
    assert draw.delta == delta


def test_a_seed_determines_the_draw(name):
    first, again, other = (sample(source(name), 50, 2, sampler=name, delta=0.1, dim=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.states, again.states)
    assert not torch.equal(first.states, other.states)


def test_the_same_seed_starts_from_the_same_noise_for_every_number_of_steps(name):
    starts = [sample(source(name), 50, steps, sampler=name, delta=0.1, dim=2, seed=3).states[0] for steps in (1, 2, 4)]
    assert all(torch.equal(start, starts[0]) for start in starts)
    double = starting_noise(50, 2, seed=3)
    torch.testing.assert_close(starts[0].double(), double, rtol=0, atol=1e-6)


def test_many_points_are_drawn_as_few_are(name):
    """Chunks are an implementation detail: the first points do not depend on how many follow them."""
    if SAMPLERS[name].noisy:
        pytest.skip("fresh noise is drawn for all points at once")
    noise = starting_noise(5000, 2, seed=4, dtype=torch.float32)
    grid = make_grid("uniform_angle", 2, horizon=3.0, delta=0.1)
    many, few = (
        SAMPLERS[name].draw(source(name), part, grid, generator=torch.Generator()) for part in (noise, noise[:10])
    )
    torch.testing.assert_close(many.points[:10], few.points, rtol=0, atol=1e-4)


def test_only_noisy_samplers_touch_the_generator(name):
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    noise = starting_noise(20, 2, seed=0, dtype=torch.float32)
    grid = make_grid("uniform_angle", 3, horizon=3.0, delta=0.1)
    draw = SAMPLERS[name].draw(source(name), noise, grid, generator=generator)
    assert torch.equal(before, generator.get_state()) != SAMPLERS[name].noisy
    assert torch.equal(draw.landings, draw.states[1:]) != SAMPLERS[name].noisy


def test_no_renoising_is_deterministic_sampling():
    plain = sample(network(), 100, 4, delta=0.02, seed=0)
    renoised = sample(network(), 100, 4, sampler="renoise", renoise=0.0, delta=0.02, seed=0)
    assert torch.equal(plain.states, renoised.states)


def test_renoising_adds_the_noise_it_says():
    draw = sample(lambda x, t, s: 0 * x + 1, 40_000, 1, sampler="renoise", renoise=0.5, delta=0.4, dim=1, seed=0)
    eta = 0.2
    assert float(draw.points.mean()) == pytest.approx(math.exp(-eta), abs=0.01)
    assert float(draw.points.std()) == pytest.approx(math.sqrt(1 - math.exp(-2 * eta)), abs=0.01)


def test_full_renoising_jumps_to_zero_and_back():
    """η = t is the multistep sampler of Song et al. 2023: every jump lands at time 0."""
    landed = []
    sample(lambda x, t, s: landed.append(s) or x, 3, 4, sampler="renoise", renoise=1.0, delta=0.1, dim=2, seed=0)
    assert landed == [0.0] * 4


def test_ending_without_noise_is_an_explicit_choice():
    with pytest.raises(ValueError, match="noiseless_end"):
        sample(network(), 3, 2, sampler="renoise", delta=0.0, seed=0)
    draw = sample(network(), 3, 2, sampler="renoise", delta=0.0, noiseless_end=True, seed=0)
    assert torch.equal(draw.landings[-1], draw.points)
    assert not torch.equal(draw.landings[0], draw.states[1])


def test_the_exact_map_keeps_the_law_under_any_renoising():
    target = make_target("gaussian", dim=2) if "gaussian" in cm.targets() else TARGET
    flow = ExactFlow(target)
    for renoise in (0.0, 0.5, 1.0):
        draw = sample(flow, 40_000, 3, sampler="renoise", renoise=renoise, horizon=6.0, delta=0.1, dim=2, seed=5)
        truth = target.sample(40_000, t=0.1, generator=stream(6, "truth"))
        assert torch.allclose(draw.points.mean(0), truth.mean(0), atol=0.05)
        assert torch.allclose(draw.points.T.cov(), truth.T.cov(), atol=0.08)


@pytest.mark.parametrize("name", ["ddim", "heun"])
def test_baselines_converge_to_the_flow_at_their_order(name):
    """Halving the step divides the error by 2 for DDIM, by 4 for Heun."""
    flow = ExactFlow(TARGET)
    noise = starting_noise(200, 2, seed=7)
    truth = flow(noise, 3.0, 0.05)
    errors = []
    for steps in (64, 128):
        draw = sample(TARGET, 200, steps, sampler=name, delta=0.05, seed=7)
        errors.append(float((draw.points - truth).abs().median()))
    order = math.log2(errors[0] / errors[1])
    assert order == pytest.approx(SAMPLERS[name].calls_per_jump, abs=0.35)


def test_bad_choices_are_one_sentence():
    grid = make_grid("uniform_angle", 2, horizon=3.0, delta=0.1)
    for wrong in (
        lambda: make_chain(grid, sampler="renoise", renoise=1.5),
        lambda: renoised_chain(grid, (0.1,)),
        lambda: renoised_chain(grid, (5.0, 0.1)),
        lambda: sample(network(), 0, 2, seed=0),
        lambda: sample(lambda x, t, s: x, 3, 2, seed=0),
        lambda: sample(network(), 3, 3, grid=grid, seed=0),
        lambda: sample("not a map", 3, 2, dim=2, seed=0),
        lambda: sample(network(), 3, 2, sampler="nothing", seed=0),
    ):
        with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
            wrong()


def test_jumps_land_where_the_chain_says():
    grid = make_grid("uniform_angle", 3, horizon=3.0, delta=0.1)
    chain = make_chain(grid, sampler="renoise", renoise=0.3)
    for stage, eta, later in zip(chain.stages, chain.etas, grid.times[1:], strict=True):
        assert stage.s + eta == pytest.approx(later)
        assert eta == pytest.approx(0.3 * later)
        assert stage.scale == pytest.approx(math.exp(-eta))
        assert stage.spread == pytest.approx(float(sigma(torch.tensor(eta, dtype=torch.float64))))


@pytest.mark.cuda
def test_draws_live_where_the_map_does():
    draw = sample(network().cuda(), 100, 2, sampler="renoise", delta=0.1, seed=0)
    here = sample(network(), 100, 2, sampler="renoise", delta=0.1, seed=0)
    assert draw.points.is_cuda
    torch.testing.assert_close(draw.points.cpu(), here.points, rtol=0, atol=1e-4)


@pytest.mark.parametrize("renoise", [0.3, 0.5, 1.0])
def test_renoised_jumps_land_no_earlier_than_the_map_was_trained_for(renoise):
    grid = make_grid("uniform_angle", 4, horizon=3.0, delta=0.02)
    free = make_chain(grid, sampler="renoise", renoise=renoise)
    held = make_chain(grid, sampler="renoise", renoise=renoise, earliest=0.015)
    assert min(stage.s for stage in held.stages) >= 0.015 - 1e-15
    for later, a, b in zip(grid.times[1:], free.stages, held.stages, strict=True):
        assert b == (a if a.s >= 0.015 else pytest.approx(Stage.renoised(a.t, 0.015, later - 0.015)))
    with pytest.raises(ValueError, match="trained down to δ"):
        make_chain(grid, sampler="renoise", renoise=renoise, earliest=0.02)
