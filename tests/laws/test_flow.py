"""Laws of the exact flow map: identity, composition, inverse, push-forward; and of the pools made from it."""

import pytest
import torch

from cmcore.flow import ExactFlow, trajectory_pool, velocity, velocity_in_angle
from cmcore.process import angle, time_from_angle
from cmcore.targets import GaussianMixture, NoDensity, Product, make_target, random_rotation
from tests.laws.every_target import HORIZON as T
from tests.laws.every_target import TARGETS, draw, flow_end, flow_errors

QUICK = ("eight_gaussians", "small blobs", "thin_ring", "overlapping boxes", "gaussian", "full and flat")


@pytest.fixture(
    params=[pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in TARGETS],
)
def target(request):
    return TARGETS[request.param]


@pytest.mark.slow
def test_composition_inverse_and_push_forward(target):
    assert all(error <= 1e-6 for error in flow_errors(target).values())


def test_no_time_no_move(target):
    x = draw(target, 5, t=1.0, seed=21)
    torch.testing.assert_close(ExactFlow(target)(x, 1.0, 1.0), x, rtol=0, atol=1e-12)


def test_path_visits_what_jumps_reach(target):
    flow = ExactFlow(target)
    x = draw(target, 5, t=T, seed=22)
    times = torch.tensor([T, 1.0, 0.2], dtype=torch.float64)
    path = flow.path(x, times)
    assert torch.equal(path[0], x)
    for k, s in enumerate(times.tolist()):
        assert float((path[k] - flow(x, T, s)).abs().max()) <= 1e-6


@pytest.mark.parametrize("name", ["eight_gaussians", "overlapping boxes", "gaussian", "rotated product"])
def test_legs_are_paths_of_their_own(name):
    flow = ExactFlow(TARGETS[name])
    x = draw(TARGETS[name], 3, t=1.0, seed=26)
    t, s = x.new_tensor([T, 1.0, 0.4]), x.new_tensor([0.9, 0.1, 0.05])
    legs = flow.legs(x, t, s, 4)
    assert torch.equal(legs[0], x)
    for i in range(3):
        theta = torch.linspace(float(angle(t[i])), float(angle(s[i])), 5, dtype=x.dtype)
        path = flow.path(x[i : i + 1], time_from_angle(theta))
        assert float((legs[:, i] - path[:, 0]).abs().max()) <= 1e-6


def test_velocities_are_the_derivative_of_the_flow():
    target = TARGETS["smiley"]
    flow, x, t, h = ExactFlow(target, tolerance=1e-12), draw(TARGETS["smiley"], 20, t=0.5, seed=23), 0.5, 1e-4
    slope = (flow(x, t, t + h) - flow(x, t, t - h)) / (2 * h)
    torch.testing.assert_close(velocity(target, x, t), slope, rtol=1e-5, atol=1e-5)
    theta = angle(torch.tensor(t, dtype=torch.float64))
    later, earlier = (float(time_from_angle(theta + sign * h)) for sign in (1, -1))
    slope = (flow(x, t, later) - flow(x, t, earlier)) / (2 * h)
    torch.testing.assert_close(velocity_in_angle(target, x, theta), slope, rtol=1e-5, atol=1e-5)
    per_point = velocity_in_angle(target, x, theta.expand(len(x)))
    torch.testing.assert_close(per_point, velocity_in_angle(target, x, theta))


@pytest.mark.parametrize("name", ["gaussian", "mixture on a line", "boxes on a line", "rotated product"])
def test_a_time_per_point(name):
    flow = ExactFlow(TARGETS[name])
    x = draw(TARGETS[name], 4, t=1.0, seed=24)
    t, s = torch.tensor([[1.0, 0.7, 0.3, 2.0], [0.5, 0.1, 1.0, 0.05]], dtype=torch.float64)
    alone = torch.cat([flow(x[i : i + 1], float(t[i]), float(s[i])) for i in range(4)])
    torch.testing.assert_close(flow(x, t, s), alone, rtol=1e-9, atol=1e-9)


def test_the_solver_refuses_a_time_per_point_but_takes_equal_ones():
    flow = ExactFlow(TARGETS["moons"])
    x = draw(TARGETS["moons"], 3, t=1.0, seed=25)
    with pytest.raises(ValueError, match="same two times"):
        flow(x, torch.tensor([1.0, 2.0, 3.0]), 0.1)
    assert torch.equal(flow(x, torch.ones(3), 0.1), flow(x, 1.0, 0.1))


@pytest.mark.parametrize("name", ["two_atoms", "thin_ring", "checkerboard", "atoms on a line"])
def test_the_flow_says_where_it_ends(name):
    target = TARGETS[name]
    with pytest.raises(NoDensity, match="t = 0"):
        ExactFlow(target)(draw(target, 3, t=1.0, seed=26), 1.0, 0.0)


def test_boxes_on_a_line_are_reached_exactly():
    target = TARGETS["boxes on a line"]
    y = ExactFlow(target)(draw(target, 2000, t=T, seed=27), T, 0.0)
    assert bool(torch.isfinite(target.log_prob(y, 0.0)).float().mean() > 0.995)


@pytest.mark.parametrize("name", ["mixture on a line", "boxes on a line", "atoms on a line"])
def test_quantiles_are_kept(name):
    """F_s(Φ(x)) = F_t(x), in the smaller tail, to 1e-9; far into the tails too."""
    target = TARGETS[name]
    x = torch.cat([draw(target, 500, t=T, seed=28), torch.linspace(-30, 30, 61, dtype=torch.float64)[:, None]])
    for s in (0.01, 0.5, 10.0):
        y = ExactFlow(target)(x, T, s)
        before, after = target.log_tails(x[:, 0], T), target.log_tails(y[:, 0], s)
        left = before[0] < before[1]
        assert bool(
            (torch.where(left, after[0] - before[0], after[1] - before[1]).abs() <= 1e-9 * (1 - before[0])).all()
        )
        again = ExactFlow(target)(y, s, T)
        back = (target.log_prob(y, s) - target.log_prob(x, T)).exp()  # how much the way back stretches
        assert bool(((again - x).abs()[:, 0] <= 1e-9 * (1 + back)).all())


def test_device_and_dtype_follow_the_input(device):
    for name, method in {
        "gaussian": "closed form (Gaussian)",
        "boxes on a line": "quantile map",
        "rotated product": "coordinate-wise",
        "eight_gaussians": "ODE solver",
    }.items():
        flow = ExactFlow(TARGETS[name])
        assert flow.method == method
        x = draw(TARGETS[name], 50, t=T, seed=29).to(device)
        single = flow(x.float(), T, 0.1)
        assert single.dtype == torch.float32
        assert single.device == x.device
        assert float((single - flow(x, T, 0.1)).abs().max()) <= 1e-3


# ---- pools ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["eight_gaussians", "gaussian", "checkerboard", "rotated product", "torus_knot"])
def test_a_pool_holds_trajectories(name, device):
    target, generator = TARGETS[name], torch.Generator(device).manual_seed(0)
    delta = flow_end(target)
    pool = trajectory_pool(target, 300, horizon=T, delta=delta, levels=17, generator=generator, device=device)
    assert pool.states.shape == (17, 300, target.dim)
    assert pool.states.dtype == torch.float32
    assert pool.states.device.type == device
    assert pool.error <= 1e-3
    assert bool((pool.angles.diff() < 0).all())
    torch.testing.assert_close(pool.angles.diff(), pool.angles.diff().mean().expand(16), rtol=1e-4, atol=1e-6)
    truth = ExactFlow(target).path(pool.states[0].double(), torch.tensor([T, 0.5, delta], dtype=torch.float64))
    assert float((pool.states[-1].double() - truth[-1]).abs().max()) <= 10 * max(pool.error, 1e-4)


def test_a_pool_starts_from_noise_and_repeats():
    first, again = (
        trajectory_pool(
            TARGETS["moons"], 50, horizon=T, delta=0.1, levels=9, generator=torch.Generator().manual_seed(3)
        )
        for _ in range(2)
    )
    assert torch.equal(first.states, again.states)
    assert torch.equal(first.states[0], torch.randn(50, 2, generator=torch.Generator().manual_seed(3)))


def test_a_narrow_target_gets_more_sub_steps():
    target = make_target("two_atoms")
    pool = trajectory_pool(target, 50, horizon=T, delta=1e-4, levels=9, generator=torch.Generator().manual_seed(0))
    assert pool.error <= 1e-3


def test_edges_cost_sub_steps_only_where_they_turn_the_flow(monkeypatch):
    target, calls = make_target("checkerboard"), []
    score = target.score
    monkeypatch.setattr(target, "score", lambda x, t: calls.append(len(x)) or score(x, t))
    pool = trajectory_pool(target, 999, horizon=T, delta=1e-6, generator=torch.Generator().manual_seed(0))
    assert pool.error <= 1e-3
    assert calls.count(999) < 2 * 4 * (len(pool.angles) - 1)  # fewer than two RK4 steps an interval


@pytest.mark.parametrize("bad", [{"delta": 4.0}, {"delta": -0.1}, {"levels": 1}, {"n": 0}])
def test_bad_pools_are_refused(bad):
    settings = {"n": 10, "horizon": T, "delta": 0.0, "levels": 5} | bad
    with pytest.raises(ValueError, match=r"\.$"):
        trajectory_pool(TARGETS["moons"], generator=torch.Generator().manual_seed(0), **settings)


# ---- equalities between methods ---------------------------------------------------------------------------------
def as_solver(target):
    """The flow of the same law, by the ODE solver."""
    flow = ExactFlow(target)
    flow.method, flow._jump = "ODE solver", flow._solve_once
    return flow


@pytest.mark.parametrize("name", ["gaussian", "mixture on a line", "boxes on a line", "rotated product", "cantor_dust"])
def test_closed_methods_agree_with_the_solver(name):
    target = TARGETS[name]
    x = draw(target, 30, t=T, seed=30)
    closed, solved = ExactFlow(target)(x, T, 0.02), as_solver(target)(x, T, 0.02)
    assert float((closed - solved).abs().max()) <= 1e-6


def test_gaussian_flow_in_closed_form():
    """Φ(x) = α_s m + S_s^{1/2} S_t^{-1/2} (x − α_t m), with the matrix roots taken apart from the code's eigenbasis."""
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
    mean = torch.tensor([0.4, -1.0], dtype=torch.float64)
    target = GaussianMixture([1], mean[None], covariance[None])
    x = draw(target, 20, t=T, seed=31)

    def root(t, power):
        a = torch.exp(torch.tensor(-t, dtype=torch.float64))
        values, vectors = torch.linalg.eigh(a**2 * covariance + (1 - a**2) * torch.eye(2, dtype=torch.float64))
        return vectors @ torch.diag(values**power) @ vectors.T

    decay_t, decay_s = torch.tensor([-T, -0.2], dtype=torch.float64).exp()
    expected = decay_s * mean + (x - decay_t * mean) @ root(T, -0.5) @ root(0.2, 0.5)
    torch.testing.assert_close(ExactFlow(target)(x, T, 0.2), expected, rtol=1e-9, atol=1e-9)


def test_a_rotated_product_flows_like_the_product():
    factors = [(TARGETS["mixture on a line"], 2), TARGETS["boxes on a line"]]
    rotation = random_rotation(3, generator=torch.Generator().manual_seed(1))
    y = draw(Product(factors), 20, t=T, seed=32)
    plain = ExactFlow(Product(factors))(y, T, 0.1)
    turned = ExactFlow(Product(factors, rotation=rotation))(y @ rotation.T, T, 0.1)
    torch.testing.assert_close(turned, plain @ rotation.T, rtol=1e-9, atol=1e-9)
