"""Laws of every sampler: calls, repeatability, what noise it adds, and equalities between members."""

import math
from types import SimpleNamespace

import pytest
import torch

import cmcore as cm
from cmcore.chain import Stage, like_map, make_chain, renoised_chain
from cmcore.config import NetworkConfig
from cmcore.divergences import kl_of_chain
from cmcore.divergences.tools.push_forward import doubled
from cmcore.flow import ExactFlow
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.process import sigma
from cmcore.samplers import SAMPLERS, ModelScore, ddim, sample, score_of, source_for, starting_noise
from cmcore.samplers.dpm_solver import dpm_solver
from cmcore.streams import stream
from cmcore.targets import GaussianMixture, make_target

TARGET = make_target("eight_gaussians")


class Counting:
    """Counts evaluations of a map or a score, for every point of a chunk at once."""

    dim = 2

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def network(seed=0, dim=2):
    small = NetworkConfig(width=16, depth=2)
    return FlowMap(dim, small, generator=torch.Generator().manual_seed(seed))


def source(name):
    return score_of(TARGET)[0] if SAMPLERS[name].needs == "score" else network()


@pytest.fixture(params=list(SAMPLERS))
def name(request):
    return request.param


@pytest.mark.parametrize("delta", [0.0, 0.02])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_calls_reported_are_the_calls_made(name, steps, delta):
    if SAMPLERS[name].share_of and delta == 0:
        pytest.skip("renoising needs δ > 0")
    counting = Counting(TARGET.score if SAMPLERS[name].needs == "score" else network().double())
    grid = make_grid("uniform_angle", steps, horizon=3.0, delta=delta)
    planned = SAMPLERS[name].plan(counting, grid)
    pilot = counting.calls  # a solver that chooses its steps tries them out when it plans
    draw = sample(counting, 5, steps, sampler=name, delta=delta, dim=2, seed=0)
    assert draw.calls == planned.calls == counting.calls - 2 * pilot
    assert pilot or draw.calls <= SAMPLERS[name].calls_per_jump * steps
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


@pytest.mark.parametrize("n", [1, 7, 1003])
def test_n9_the_first_points_of_a_draw_do_not_depend_on_how_many_follow(name, n):
    """The noise to the last bit; states to the rounding of a network evaluated on other chunks."""
    many, few = (sample(source(name), m, 2, sampler=name, delta=0.1, dim=2, seed=4) for m in (5000, n))
    assert torch.equal(many.states[0, :n], few.states[0])
    torch.testing.assert_close(many.points[:n], few.points, rtol=0, atol=1e-4)


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


@pytest.mark.parametrize("share", [0.25, 1.0, 2.0])
def test_the_papers_sampler_renoises_a_share_of_each_step(share):
    grid = make_grid("variance_step", 5, horizon=3.0, delta=0.05)
    chain = make_chain(grid, sampler="algorithm_1", renoise=share)
    for (t, later), eta, stage in zip(grid.jumps, chain.etas, chain.stages, strict=True):
        assert eta == pytest.approx(min(share * (t - later), 0.9 * later))
        assert stage.s == pytest.approx(later - eta)
    assert make_chain(grid, sampler="algorithm_1").etas == make_chain(grid, sampler="algorithm_1", renoise=1.0).etas
    held = make_chain(grid, sampler="algorithm_1", renoise=share, earliest=0.04)
    assert min(stage.s for stage in held.stages) >= 0.04 - 1e-15
    draws = [sample(network(), 9, 5, sampler="algorithm_1", grid=grid, renoise=r, seed=0) for r in (share, None)]
    assert draws[0].chain == chain
    assert draws[1].chain.etas == make_chain(grid, sampler="algorithm_1").etas


def test_one_time_sampling_is_full_renoising_that_ends_without_noise():
    """To the last bit the draw that multistep consistency sampling was made by until it had a name."""
    for steps, delta in ((1, 0.0), (4, 0.0), (3, 0.1)):
        named = sample(network(), 50, steps, sampler="one_time", delta=delta, seed=3)
        by_hand = sample(network(), 50, steps, sampler="renoise", renoise=1.0, noiseless_end=True, delta=delta, seed=3)
        assert torch.equal(named.states, by_hand.states)
    chain = make_chain(make_grid("uniform_angle", 3, horizon=3.0, delta=0.02), sampler="one_time", earliest=0.02)
    assert [stage.s for stage in chain.stages] == pytest.approx([0.02] * 3)
    assert chain.etas[-1] == 0


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


BASELINES = [name for name, sampler in SAMPLERS.items() if sampler.needs == "score"]
PAIR = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1, name="pair")
BLOB = GaussianMixture([1.0], [[0.0]], 0.3, name="blob")


@pytest.mark.parametrize(
    ("name", "order"), [("ddim", 1), ("euler", 1), ("heun", 2), ("rk4", 4), ("dpm++2m", 2), ("dpm++3m", 2)]
)
def test_ode_solvers_converge_to_the_flow_at_their_order(name, order):
    """Halving the step divides the error by 2 to the order; 3M starts with a step of DDIM, which holds it to 2."""
    truth = ExactFlow(PAIR)(starting_noise(200, 1, seed=7), 3.0, 0.05)
    errors = []
    for steps in (64, 128):
        draw = sample(PAIR, 200, steps, sampler=name, delta=0.05, seed=7)
        errors.append(float((draw.points - truth).abs().median()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_the_adaptive_solver_follows_the_flow():
    truth = ExactFlow(TARGET)(starting_noise(200, 2, seed=7), 3.0, 0.0)
    draw = sample(TARGET, 200, 3, sampler="dopri5", delta=0.0, seed=7)
    assert float((draw.points - truth).abs().median()) < 1e-6
    with pytest.raises(ValueError, match="needs to know d"):
        SAMPLERS["dopri5"].plan(lambda x, t: -x, draw.grid)


@pytest.mark.parametrize("name", ["euler_maruyama", "exponential_sde", "ddpm"])
def test_steps_of_the_reverse_sde_have_weak_order_one(name):
    """The law of a step is wrong by h², that of a draw by h, and its KL by h²."""
    kls = []
    for steps in (128, 256):
        plan = SAMPLERS[name].plan(BLOB.score, make_grid("constant_step", steps, horizon=4.0, delta=0.05))
        kls.append(kl_of_chain(plan.f, BLOB, plan.chain, seed=0).value)
    assert math.log2(kls[0] / kls[1]) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_measured_is_what_is_drawn(name):
    """The Gaussian that the plan implies, stage by stage, is the law of the draws; and more steps make it better."""
    grid = make_grid("uniform_angle", 4, horizon=4.0, delta=0.05)
    source = source_for(BLOB, SAMPLERS[name])
    plan = SAMPLERS[name].plan(source, grid)
    mean, variance = 0.0, 1.0
    for stage in plan.chain.stages:
        at_zero, at_one = plan.f(torch.tensor([[0.0], [1.0]], dtype=torch.float64), stage.t, stage.s)[:, 0].tolist()
        mean = stage.scale * (at_zero + (at_one - at_zero) * mean)
        variance = (stage.scale * (at_one - at_zero)) ** 2 * variance + stage.spread**2
    draw = SAMPLERS[name].draw(source, starting_noise(40_000, 1, seed=1), grid, generator=stream(1, "fresh"))
    assert float(draw.points.mean()) == pytest.approx(mean, abs=5 * math.sqrt(variance / 40_000))
    assert float(draw.points.var()) == pytest.approx(variance, rel=0.04)
    finer = SAMPLERS[name].plan(source, make_grid("uniform_angle", 32, horizon=4.0, delta=0.05))
    first, second = (kl_of_chain(p.f, BLOB, p.chain, seed=0).value for p in (plan, finer))
    assert second < max(first / 4, 1e-7)


def test_baselines_that_are_others_in_disguise():
    grid = make_grid("uniform_angle", 4, horizon=3.0, delta=0.05)
    noise = starting_noise(50, 2, seed=2)
    plain, unnoised = (
        SAMPLERS[name].draw(TARGET.score, noise, grid, generator=stream(0, "none"), renoise=0.0)
        for name in ("ddim", "ddim_renoise")
    )
    assert torch.equal(plain.states, unnoised.states)
    first_order = dpm_solver(TARGET.score, grid, order=1)(noise)
    torch.testing.assert_close(first_order, plain.states)


def test_a_map_that_learned_the_velocity_alone_jumps_by_ddim_with_its_own_score():
    config = NetworkConfig(width=16, depth=2, second_time=False)
    model = FlowMap(2, config, generator=torch.Generator().manual_seed(3)).double()
    x = starting_noise(50, 2, seed=3)
    torch.testing.assert_close(ddim(ModelScore(model))(x, 1.2, 0.4), model(x, 1.2, 0.4))


def test_the_score_is_the_one_asked_for():
    model = SimpleNamespace(flow_map=network(), target=TARGET)
    assert score_of(model)[1] == "exact"
    assert score_of(SimpleNamespace(flow_map=network(), target=None))[1] == "model"
    exact, learned = (sample(model, 20, 3, sampler="heun", dim=2, seed=0, score=s).points for s in ("exact", "model"))
    assert not torch.allclose(exact, learned)
    assert SAMPLERS["heun"].labelled("exact") == "Heun, exact score"
    assert SAMPLERS["heun"].labelled("model") == "Heun, learned score"
    for wrong in (lambda: score_of(TARGET, "model"), lambda: score_of("nothing")):
        with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
            wrong()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_follows_a_learned_score(name):
    """In the network's own precision, and in float64 where an estimate asks for that."""
    plan = SAMPLERS[name].plan(ModelScore(network()), make_grid("uniform_angle", 2, horizon=3.0, delta=0.1))
    assert like_map(plan.f)[0] == torch.float32
    assert like_map(doubled(plan.f))[0] == torch.float64
    draw = sample(network(), 20, 2, sampler=name, score="model", delta=0.1, seed=0)
    assert bool(draw.points.isfinite().all())


def test_bad_choices_are_one_sentence():
    grid = make_grid("uniform_angle", 2, horizon=3.0, delta=0.1)
    for wrong in (
        lambda: make_chain(grid, sampler="renoise", renoise=1.5),
        lambda: make_chain(grid, sampler="algorithm_1", renoise=-1.0),
        lambda: make_chain(grid, sampler="algorithm_1", renoise=math.nan),
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


@pytest.mark.cuda
def test_a_learned_score_is_followed_where_the_network_is():
    for name in ("heun", "dpm++2m", "ddpm_langevin", "dopri5"):
        there, here = (
            sample(model, 100, 2, sampler=name, score="model", delta=0.1, seed=0)
            for model in (network().cuda(), network())
        )
        assert there.points.is_cuda
        torch.testing.assert_close(there.points.cpu(), here.points, rtol=1e-3, atol=1e-3)


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
