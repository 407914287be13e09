"""Laws of every registered objective: the exact map has no loss, families agree where they must, draws are lawful."""

import itertools
import math
from functools import partial
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import cmcore as cm
from cmcore.chain import make_chain, renoised_chain
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.objectives import OBJECTIVES, BatchSource, LossContext, make_objective
from cmcore.objectives.averaged import GROUP, averaged_velocity
from cmcore.objectives.composition import Composition, Points
from cmcore.objectives.describe import velocities_of
from cmcore.objectives.families.drifting import drift
from cmcore.objectives.identities.consistency import Consistency
from cmcore.objectives.identities.moment_matching import matching
from cmcore.objectives.identities.semigroup import Semigroup
from cmcore.objectives.metrics import Metric, distance, distance_and_slope
from cmcore.preconditioning import angle_at, linear_time
from cmcore.process import alpha, angle, noise_level, sigma
from cmcore.samplers import SAMPLERS, starting_noise
from cmcore.streams import normal, stream
from cmcore.targets import GaussianMixture
from cmcore.training_defaults import resolved
from cmcore.training_run import TrainingRun

GAUSSIAN = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.4, 0.1], [0.1, 0.3]]], name="gaussian")
SMALL = {"trajectory_regression": {"trajectories": 500, "levels": 17}, "drifting": {"particles": 16}}
FORMS = pytest.mark.parametrize("form", ["trig", "linear"])
draw = partial(torch.randn, dtype=torch.float64)


@pytest.fixture(params=list(OBJECTIVES))
def name(request):
    return request.param


@pytest.fixture
def objective(name):
    return make_objective(name, **SMALL.get(name, {}))


def source(delta=0.0, horizon=3.0, target=GAUSSIAN):
    # A teacher that happens to know the truth: what is learned from it has the same exact map.
    return BatchSource(target, horizon, delta, torch.device("cpu"), stream(0, "objective"), exact_velocity)


def batches(objective, count, size, progress=0.0, delta=0.0, purpose="batches"):
    generator = stream(0, purpose)
    prepared = objective.prepare(source(delta))
    return list(objective.batches(prepared, count, size, generator=generator, progress=progress))


def exact_velocity(x, theta):
    return BatchSource(GAUSSIAN, 3.0, 0.0, torch.device("cpu"), torch.Generator()).exact_velocity(x, theta)


def exact_flow(x, theta, gap):
    """cos θ_s m + U √(v_s/v_t) Uᵀ (x − cos θ_t m), v = cos² θ λ + sin² θ: differentiable in all its arguments."""
    mean, axes, end = GAUSSIAN.means[0], GAUSSIAN.axes[0], theta - gap
    variance, at_end = (a.cos() ** 2 * GAUSSIAN.variances[0] + a.sin() ** 2 for a in (theta, end))
    return end.cos() * mean + ((at_end / variance).sqrt() * ((x - theta.cos() * mean) @ axes)) @ axes.T


class ExactMap(FlowMap):
    """The exact map of the Gaussian as a FlowMap, in float64; `shift` and `slope` spoil its answers."""

    def __init__(self, form="trig", shift=0.0):
        super().__init__(2, NetworkConfig(width=4, depth=1, preconditioning=form), generator=stream(0, "unused"))
        self.shift = nn.Parameter(torch.full((2,), shift, dtype=torch.float64))
        self.slope = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))

    def answer(self, x, theta, gap):
        skip, out = self.preconditioning(theta, torch.where(gap == 0, 1.0, gap))
        jump = (skip * x - exact_flow(x, theta, torch.where(gap == 0, 1.0, gap))) / out
        with torch.no_grad():
            velocity = exact_velocity(x, theta)
        rest = self.preconditioning.direction(x, theta, velocity)
        return torch.where(gap == 0, rest, jump) + self.shift + x @ self.slope

    def direction(self, x, theta, gap, *, for_weights=False):
        return self.answer(x.double(), theta.double().expand(len(x), 1), gap.double().expand(len(x), 1))

    def direction_and_tangent(self, x, theta, gap, along, *, through_tangent=False):
        x, theta, gap = x.double(), theta.double().expand(len(x), 1), gap.double().expand(len(x), 1)
        dx = torch.zeros_like(x) if along[0] is None else along[0].double()
        direction = dx, torch.full_like(theta, along[1]), torch.full_like(gap, along[2])
        assert bool((gap != 0).all())
        answer, tangent = torch.func.jvp(self.answer, (x, theta, gap), direction)
        return answer, tangent if through_tangent else tangent.detach()


def context(flow_map, targets=None, progress=1.0, earliest=0.0):
    fields = {"exact": exact_velocity, "learned": exact_velocity}
    return LossContext(flow_map, targets or flow_map, fields, earliest, progress)


def truthful(batch):
    """The same points in float64, with the exact velocity and with neighbours on the exact trajectory."""
    # Where a jump is so short that even float64 does not resolve it, no residual can be measured.
    kept = ((batch.gap == 0) | (batch.gap > 1e-6))[:, 0]
    batch = type(batch)(*(column[kept].double() for column in batch))
    if not isinstance(batch, Points):
        return batch._replace(y=exact_flow(batch.x, batch.theta, batch.gap))
    earlier = exact_flow(batch.x, batch.theta, batch.theta - batch.inner)
    return batch._replace(velocity=exact_velocity(batch.x, batch.theta), earlier=earlier)


def gradients(loss, flow_map):
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, [flow_map.shift, flow_map.slope])])


# ---- the exact map ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("form", "delta", "progress"), [("trig", 0.0, 0.0), ("trig", 0.01, 1.0), ("linear", 0.0, 1.0)])
def test_the_exact_map_has_zero_loss_and_zero_gradient(objective, form, delta, progress):
    exact, earliest = ExactMap(form), float(angle(torch.tensor(delta, dtype=torch.float64)))
    for batch in map(truthful, batches(objective, 1, 512, progress, delta)):
        loss = objective.loss(context(exact, earliest=earliest), batch)
        assert float(loss.detach()) < 1e-11
        assert float(gradients(loss, exact).abs().max()) < 1e-6


@FORMS
def test_a_spoilt_map_has_a_loss_and_a_gradient_that_points_back(objective, form):
    spoilt, exact = ExactMap(form, shift=0.1), ExactMap(form)
    (batch,) = map(truthful, batches(objective, 1, 512))
    loss = objective.loss(context(spoilt, exact), batch)
    assert float(loss.detach()) > 1e-3
    assert float(gradients(loss, spoilt)[:2].min()) > 0


@pytest.mark.parametrize("delta", [0.0, 1e-4])
def test_single_precision_leaves_the_exact_map_almost_no_loss(name, delta):
    """Targets divide by a jump's length: no row is so short that rounding decides what it teaches."""
    if name != "trajectory_regression" and "exact" in velocities_of(OBJECTIVES[name]):
        choice = {"velocity": "exact"}
    else:
        choice = SMALL.get(name, {})
    objective = make_objective(name, **choice)
    for progress in (0.0, 1.0):
        (batch,) = batches(objective, 1, 4096, progress, delta)
        assert {column.dtype for column in batch} == {torch.float32}
        if isinstance(batch, Points):
            fields = {"velocity": exact_velocity(batch.x, batch.theta)}
            if isinstance(objective, Consistency):
                inner = batch.theta - batch.inner
                fields["earlier"] = exact_flow(batch.x.double(), batch.theta.double(), inner.double()).float()
            batch = batch._replace(**fields)
        elif name == "drifting":  # whose data are other draws: where they are the landings themselves, nothing drifts
            batch = batch._replace(y=exact_flow(*(c.double() for c in (batch.x, batch.theta, batch.gap))).float())
        earliest = float(angle(torch.tensor(delta, dtype=torch.float64)))
        rounded = Rounded()
        assert float(objective.loss(context(rounded, earliest=earliest), batch).detach()) < 1e-3


class Rounded(ExactMap):
    """The exact map that answers in single precision, as a network does."""

    def direction(self, x, theta, gap, *, for_weights=False):
        return super().direction(x, theta, gap).float()

    def direction_and_tangent(self, x, theta, gap, along, *, through_tangent=False):
        parts = super().direction_and_tangent(x, theta, gap, along, through_tangent=through_tangent)
        return parts[0].float(), parts[1].float()


@pytest.mark.parametrize(
    ("name", "choice", "form"),
    [
        ("flow_matching", {}, "linear"),
        ("mean_flow", {"metric": "l2", "diagonal_share": 0.5}, "trig"),
        ("mean_flow", {"metric": "l2", "diagonal_share": 0.5}, "linear"),
        ("eulerian", {"diagonal_share": 0.0}, "trig"),
        ("eulerian", {"tangent_beta": 0.5}, "trig"),
        ("improved_mean_flow", {"metric": "l2"}, "linear"),
        ("controlled_mean_flow", {"metric": "l2"}, "linear"),
        ("alpha_flow", {"metric": "l2"}, "linear"),
        ("lsd", {}, "trig"),
        ("tvm", {}, "linear"),
        ("esd", {}, "trig"),
        ("esd", {}, "linear"),
        ("esd", {"through_time": True, "metric": "l2"}, "trig"),
        ("psd", {}, "linear"),
    ],
)
def test_pairs_alone_leave_the_exact_map_no_gradient_on_average(name, choice, form):
    """The velocity of a pair stands in for its mean: the exact map is where the expected gradient is zero."""
    objective = make_objective(name, **choice)

    def mean_and_error(shift):
        flow_map, exact = ExactMap(form, shift), ExactMap(form)
        drawn = batches(objective, 25, 400, 1.0, purpose="pairs")
        each = torch.stack([gradients(objective.loss(context(flow_map, exact), b), flow_map) for b in drawn])
        return each.mean(0), each.std(0) / math.sqrt(len(each))

    mean, error = mean_and_error(0.0)
    assert bool((mean.abs() < 4 * error).all())
    mean, error = mean_and_error(0.3)
    assert bool((mean[:2] > 6 * error[:2]).all())


@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("heun", 2)])
def test_the_discrete_identity_holds_at_the_order_of_its_solver(solver, order):
    exact, n = ExactMap(), 400
    theta, gap = torch.full((n, 1), 1.3, dtype=torch.float64), torch.full((n, 1), 1.1, dtype=torch.float64)
    x = draw(n, 2, generator=stream(0, "x"))
    points = Points(x, theta, gap, exact_velocity(x, theta), theta, x)

    def residual(steps, length):
        objective = make_objective("two_time_cd", solver=solver, solver_steps=steps)
        rows = points._replace(inner=theta - length)
        rows = rows._replace(earlier=objective.earlier(source(), rows, x, x))
        return float(objective.errors(context(exact), rows).detach().square().mean().sqrt())

    over_all = [residual(steps, 0.8) for steps in (8, 16, 32)]
    of_one_step = [residual(1, length) for length in (0.1, 0.05, 0.025)]
    for errors, expected in ((over_all, order), (of_one_step, order + 1)):
        for coarse, fine in itertools.pairwise(errors):
            assert math.log2(coarse / fine) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("solver", ["ddim", "heun"])
def test_an_own_or_a_learned_velocity_is_followed_as_the_exact_one(solver):
    """Where all velocities are the same function, so are the neighbours they lead to."""
    common = {"solver": solver, "diagonal_share": 0.25, "intervals": 16, "first_intervals": 16, "solver_steps": 2}
    losses = []
    for velocity in ("exact", "learned", "self"):
        objective = make_objective("consistency", velocity=velocity, **common)
        (batch,) = batches(objective, 1, 512)
        losses.append(float(objective.loss(context(ExactMap()), batch).detach()))
    on_diagonal = make_objective("consistency", velocity="exact", **{**common, "diagonal_share": 1.0})
    assert losses[0] > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    (batch,) = batches(make_objective("consistency", velocity="self", **common), 1, 512)
    rows = batch.rows(slice(128))
    taught_by_pairs = float(on_diagonal.loss(context(ExactMap()), rows).detach()) / 4
    assert losses[2] - taught_by_pairs == pytest.approx(losses[0], rel=1e-2)


# ---- equalities between families, on a random network -----------------------------------------------------------
def random_map(form, seed=0):
    network = NetworkConfig(width=8, depth=2, preconditioning=form)
    flow_map = FlowMap(2, network, generator=stream(seed, "weights")).double()
    flow_map.matmul_dtype = torch.float64
    return flow_map


def raw(flow_map, x, theta, gap):
    return flow_map.direction(x, theta, gap)


def pair_points(n=64, seed=0):
    """Points of known data and noise, off the diagonal, θ_s ≥ 0.05."""
    generator = stream(seed, "pairs")
    data, noise = draw(2, n, 2, generator=generator)
    chance = torch.rand(3, n, 1, generator=generator, dtype=torch.float64)
    end = 0.05 + chance[0]
    theta = end + 0.01 + 0.4 * chance[1]
    inner = end + chance[2] * (theta - end)
    x, earlier = (a.cos() * data + a.sin() * noise for a in (theta, inner))
    velocity = theta.cos() * noise - theta.sin() * data
    return Points(x, theta, theta - end, velocity, inner, earlier), data, noise


def weights_gradient(value, flow_map):
    parts = torch.autograd.grad(value, list(flow_map.parameters()), retain_graph=True)
    return torch.cat([part.reshape(-1) for part in parts])


def test_the_eulerian_residual_is_mean_flow_s_on_the_linear_path():
    """F − v + (τ_t − τ_s) dF/dτ, in the coordinates x̄ = (1 − τ) x₀ + τ z."""
    f, (points, data, noise) = random_map("linear"), pair_points()
    tau, end = linear_time(points.theta), linear_time(points.theta - points.gap)

    def of_linear(x, tau, end):
        start, stop = angle_at(tau), angle_at(end)
        return raw(f, x * (start.cos() + start.sin()), start, start - stop)

    x, v = (1 - tau) * data + tau * noise, noise - data
    answer, along = torch.func.jvp(of_linear, (x, tau, end), (v, torch.ones_like(tau), torch.zeros_like(end)))
    found = make_objective("mean_flow").errors(context(f), points)
    torch.testing.assert_close(found, answer - v + (tau - end) * along, rtol=1e-9, atol=1e-9)


def test_improved_mean_flow_regresses_the_velocity_that_the_average_implies_on_that_of_pairs():
    """F + (τ_t − τ_s) dF/dτ − v with dF/dτ along F(x̄, t, t), in the coordinates x̄ = (1 − τ) x₀ + τ z."""
    f, (points, data, noise) = random_map("linear"), pair_points()
    tau, end = linear_time(points.theta), linear_time(points.theta - points.gap)

    def of_linear(x, tau, end):
        start, stop = angle_at(tau), angle_at(end)
        return raw(f, x * (start.cos() + start.sin()), start, start - stop)

    x, v = (1 - tau) * data + tau * noise, noise - data
    own = of_linear(x, tau, tau).detach()
    answer, along = torch.func.jvp(of_linear, (x, tau, end), (own, torch.ones_like(tau), torch.zeros_like(end)))
    found = make_objective("improved_mean_flow").errors(context(f), points)
    implied = answer + (tau - end) * along.detach() - v
    torch.testing.assert_close(found, implied, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        weights_gradient(found.square().sum(), f), weights_gradient(implied.square().sum(), f), rtol=1e-8, atol=1e-8
    )


@FORMS
def test_a_control_variate_leads_from_mean_flow_to_improved_mean_flow(form):
    f, averaged, (points, _, _) = random_map(form), random_map(form, seed=1), pair_points()

    def errors(name, targets, **choice):
        return make_objective(name, **choice).errors(context(f, targets), points)

    ends = [errors("mean_flow", averaged), errors("improved_mean_flow", averaged)]
    assert float((ends[0] - ends[1]).detach().abs().max()) > 1e-3
    for beta in (0.0, 0.3, 1.0):
        found = errors("controlled_mean_flow", averaged, tangent_beta=beta)
        torch.testing.assert_close(found, ends[0].lerp(ends[1], beta), rtol=1e-9, atol=1e-9)


@FORMS
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_the_noise_of_pairs_reaches_the_residual_through_the_map_s_jacobian_or_past_it(form, beta):
    """At the exact map E = −((1 − β) ∇f + β skip) ξ, ξ the pair's velocity less its mean, in units of the map."""
    exact, (points, _, _) = ExactMap(form), pair_points()
    noise = points.velocity - exact_velocity(points.x, points.theta)
    assert float(noise.abs().max()) > 0.5
    through = torch.func.jvp(lambda x: exact_flow(x, points.theta, points.gap), (points.x,), (noise,))[1]
    skip, _ = exact.preconditioning(points.theta, points.gap)
    found = make_objective("eulerian", tangent_beta=beta).residual(context(exact), points, points.velocity)[1]
    torch.testing.assert_close(found.detach(), -((1 - beta) * through + beta * skip * noise), rtol=1e-8, atol=1e-8)


def of_alpha(alpha, points, data, noise):
    """The same pairs with r = t − α (t − s) in the linear path's time."""
    t, s = linear_time(points.theta), linear_time(points.theta - points.gap)
    inner = angle_at(t - alpha * (t - s))
    return points._replace(inner=inner, earlier=inner.cos() * data + inner.sin() * noise)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.05])
def test_alpha_flow_is_its_formula_on_the_linear_path(alpha):
    """F* = α v + (1 − α) F(x̄_r, r, s), and an error of gradient 1/α."""
    f, averaged, (points, data, noise) = random_map("linear"), random_map("linear", seed=1), pair_points()
    points = of_alpha(alpha, points, data, noise)
    with torch.no_grad():
        rest = raw(averaged, points.earlier, points.inner, points.inner - (points.theta - points.gap))
    answer = raw(f, *points[:3])
    error = answer - (alpha * (noise - data) + (1 - alpha) * rest)
    found = make_objective("alpha_flow").errors(context(f, averaged, progress=0.2), points)
    torch.testing.assert_close(found, error / alpha, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(
        weights_gradient(found.square().sum(), f),
        weights_gradient(error.square().sum() / alpha, f),
        rtol=1e-7,
        atol=1e-7,
    )


@FORMS
def test_alpha_flow_goes_from_flow_matching_through_the_semigroup_to_mean_flow(form):
    f, (points, data, noise) = random_map(form), pair_points()
    objective = make_objective("alpha_flow")

    def errors(points):
        return objective.errors(context(f, progress=0.2), points).detach()

    at_once = raw(f, *points[:3]) - f.preconditioning.direction(points.x, points.theta, points.velocity)
    torch.testing.assert_close(errors(of_alpha(1.0, points, data, noise)), at_once.detach(), rtol=1e-7, atol=1e-7)
    limit = make_objective("mean_flow").errors(context(f), points).detach()
    torch.testing.assert_close(objective.errors(context(f, progress=1.0), points).detach(), limit)
    apart = [float((errors(of_alpha(a, points, data, noise)) - limit).norm()) for a in (0.04, 0.02, 0.01)]
    for coarse, fine in itertools.pairwise(apart):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.15)
    # With a jump of the map to the middle in place of the pair.
    middle = of_alpha(0.5, points, data, noise)
    jumped = f.at_angles(points.x, points.theta, middle.inner).detach()
    through_it = make_objective("psd").errors(context(f), middle).detach()
    if form == "linear":
        torch.testing.assert_close(errors(middle._replace(earlier=jumped)), 2 * through_it, rtol=1e-7, atol=1e-7)


def test_alpha_falls_from_1_to_0_by_a_sigmoid():
    objective = make_objective("alpha_flow", alpha_from=0.2, alpha_to=0.6)
    alphas = [objective.alpha_at(i / 1000) for i in range(1001)]
    assert alphas == sorted(alphas, reverse=True)
    assert (alphas[0], alphas[200], alphas[600], alphas[-1]) == (1.0, 1.0, 0.0, 0.0)
    assert objective.alpha_at(0.4) == pytest.approx(0.5)
    assert objective.alpha_at(0.44) == pytest.approx(1 / (1 + math.exp(25 * 0.04 / 0.4)))
    assert min(alpha for alpha in alphas if alpha) >= 0.005
    assert max(alpha for alpha in alphas if alpha < 1) <= 0.995


@pytest.mark.parametrize("progress", [0.15, 0.25])
def test_alpha_flow_steps_that_share_of_the_jump(progress):
    objective = make_objective("alpha_flow")
    (batch,) = batches(objective, 1, 4096, progress)
    off = batch.rows(slice(2048, None))
    t, r, s = (linear_time(u.double()) for u in (off.theta, off.inner, off.theta - off.gap))
    long = (t - s > 0.01).squeeze()
    shares = ((t - r) / (t - s))[long]
    torch.testing.assert_close(shares, torch.full_like(shares, objective.alpha_at(progress)), rtol=0, atol=2e-3)


@FORMS
def test_terminal_velocity_matching_is_lsd_with_an_average_s_velocity(form):
    f, averaged, (points, _, _) = random_map(form), random_map(form, seed=1), pair_points()
    found, lsd = (make_objective(name).errors(context(f, averaged), points) for name in ("tvm", "lsd"))
    torch.testing.assert_close(found, lsd)
    own = make_objective("lsd").errors(context(f), points)
    assert float((found - own).detach().abs().max()) > 1e-3
    assert make_objective("tvm").target_decay == 0.99


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_eulerian_residual_is_scm_s_tangent(share):
    """cos Δ (F − v) + r sin Δ (x + dF/dθ); at θ_s = 0 the tangent of a consistency model, r its warm-up."""
    f, (points, _, _) = random_map("trig"), pair_points()
    one = torch.ones_like(points.theta)
    answer, along = torch.func.jvp(partial(raw, f), points[:3], (points.velocity, one, one))
    expected = points.gap.cos() * (answer - points.velocity) + share * points.gap.sin() * (points.x + along)
    objective = make_objective("scm", tangent_warmup=0.5)
    found = objective.errors(context(f, progress=share / 2), points)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@FORMS
def test_many_families_share_one_eulerian_residual(form):
    f, (points, _, _) = random_map(form), pair_points()
    with torch.no_grad():
        own = points._replace(velocity=f.velocity_in_angle(points.x, points.theta))
    names = (
        "eulerian",
        "mean_flow",
        "improved_mean_flow",
        "controlled_mean_flow",
        "alpha_flow",
        "ayf",
        "esd",
        "scm",
        "emd",
    )
    families = [make_objective(name) for name in names]
    families.append(make_objective("esd", through_time=True))
    errors = [objective.errors(context(f), own) for objective in families]
    for error in errors[1:]:
        torch.testing.assert_close(error, errors[0], rtol=1e-9, atol=1e-9)
    expected = weights_gradient(errors[0].square().sum(), f)
    for objective, error in zip(families[1:], errors[1:], strict=True):
        same = torch.allclose(weights_gradient(error.square().sum(), f), expected, rtol=1e-8, atol=1e-8)
        assert same == (not objective.through_time)


@FORMS
def test_gradients_of_the_eulerian_identities_flow_where_they_say(form):
    """As a regression towards F* = sg(F − E), or, through time, ESD's "full" choice, through F and ∂_t F."""
    f, (points, _, _) = random_map(form), pair_points()
    one, zero = torch.ones_like(points.theta), torch.zeros_like(points.x)
    with torch.no_grad():
        own = points._replace(velocity=f.velocity_in_angle(points.x, points.theta))
    answer, by_start = torch.func.jvp(partial(raw, f), own[:3], (zero, one, one))
    with torch.no_grad():
        in_space = torch.func.jvp(partial(raw, f), own[:3], (own.velocity, 0 * one, 0 * one))[1]
    skip, out = f.preconditioning(own.theta, own.gap)
    skip_t, out_t = f.preconditioning.by_start(own.theta, own.gap)
    full = out_t * answer + out * (by_start + in_space) - skip_t * own.x - skip * own.velocity
    full = full / out_t if form == "linear" else full
    through = make_objective("esd", through_time=True).errors(context(f), own)
    torch.testing.assert_close(
        weights_gradient(through.square().sum(), f), weights_gradient(full.square().sum(), f), rtol=1e-8, atol=1e-8
    )
    plain = make_objective("eulerian").errors(context(f), own)
    regression = (answer - (answer - full).detach()).square().sum()
    torch.testing.assert_close(
        weights_gradient(plain.square().sum(), f), weights_gradient(regression, f), rtol=1e-8, atol=1e-8
    )


@FORMS
def test_the_lagrangian_residual_is_how_the_landing_point_moves(form):
    f, (points, _, _) = random_map(form), pair_points()
    x, theta, end = points.x, points.theta, points.theta - points.gap

    def landing(end):
        gap = theta - end
        return f.landing(x, theta, gap, raw(f, x, theta, gap))

    landed, moved = torch.func.jvp(landing, (end,), (torch.ones_like(end),))
    own = f.velocity_in_angle(landed, end).detach()
    found = make_objective("lsd").errors(context(f), points)
    torch.testing.assert_close(found, moved - own, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        weights_gradient(found.square().sum(), f),
        weights_gradient((moved - own).square().sum(), f),
        rtol=1e-8,
        atol=1e-8,
    )
    by_the_exact_one = make_objective("lmd").errors(context(f), points)
    torch.testing.assert_close(by_the_exact_one, moved - exact_velocity(landed, end), rtol=1e-9, atol=1e-9)


def test_the_semigroup_s_target_is_the_average_of_two_jumps_on_the_linear_path():
    """F* = ((τ_t − τ_u) F(x̄, t, u) + (τ_u − τ_s) F(f(x̄, t, u), u, s))/(τ_t − τ_s)."""
    f, (points, _, _) = random_map("linear"), pair_points()
    end = points.theta - points.gap
    t, u, s = map(linear_time, (points.theta, points.inner, end))
    first = raw(f, points.x, points.theta, points.theta - points.inner)
    halfway = f.landing(points.x, points.theta, points.theta - points.inner, first)
    second = raw(f, halfway, points.inner, points.inner - end)
    expected = ((t - u) * first + (u - s) * second) / (t - s)
    torch.testing.assert_close(make_objective("psd").wanted(context(f), points), expected, rtol=1e-8, atol=1e-8)


def test_shortcut_models_are_the_semigroup_at_dyadic_midpoints():
    levels, n = 5, 4096
    shortcut = make_objective("shortcut", levels=levels, diagonal_share=0.25)
    semigroup = Semigroup(clock=shortcut.clock, diagonal_share=0.25, target_average=shortcut.target_average)
    (batch,) = batches(shortcut, 1, n)
    off = batch.rows(slice(n // 4, n))
    clock = shortcut.prepare(source()).clock
    late, early, middle = (clock.read(a.double()) for a in (off.theta, off.theta - off.gap, off.inner))
    torch.testing.assert_close(middle, (late + early) / 2, rtol=0, atol=1e-5)
    level = -(late - early).log2()
    torch.testing.assert_close(level, level.round(), rtol=0, atol=1e-4)
    assert set(level.round().flatten().int().tolist()) == set(range(levels))
    multiple = late / (late - early)
    torch.testing.assert_close(multiple, multiple.round(), rtol=0, atol=1e-3)
    counts = torch.bincount(level.round().flatten().int(), minlength=levels) / len(off.x)
    assert bool(((counts - 1 / levels).abs() < 0.03).all())
    f, targets = random_map("linear").float(), random_map("linear", seed=1).float()
    f.matmul_dtype = targets.matmul_dtype = torch.float32
    losses = [o.loss(context(f, targets), batch) for o in (shortcut, semigroup)]
    assert torch.equal(*losses)


@FORMS
@pytest.mark.parametrize("particles", [1, 3])
def test_moment_matching_one_particle_at_a_time_is_consistency_training(form, particles):
    """With k = −|x − y|² and one particle it is twice the consistency loss; with more, of the groups' means."""
    f, targets, (points, _, _) = random_map(form), random_map(form, seed=1), pair_points(60)
    matched = make_objective("imm", particles=particles, kernel="negative_square")
    trained = make_objective("ct", target_average=0.5, metric="l2", mirrored=False)
    if particles == 1:
        losses = [o.loss(context(f, targets), points) for o in (matched, trained)]
        torch.testing.assert_close(losses[0], 2 * losses[1])
        torch.testing.assert_close(weights_gradient(losses[0], f), 2 * weights_gradient(losses[1], f))
        return
    shared = points._replace(**{c: getattr(points, c)[:1].expand(60, 1) for c in ("theta", "gap", "inner")})
    difference = trained.errors(context(f, targets), shared).reshape(20, 3, 2).mean(1)
    found = matched.loss(context(f, targets), shared)
    torch.testing.assert_close(found, 2 * difference.square().sum(-1).mean())


@FORMS
def test_over_mirror_images_a_mirrored_target_is_the_map_between_them(form):
    """Where noise prevails pairs of velocity ±v teach f(m, r, s), which plain targets blur; elsewhere both agree."""
    f = random_map(form)
    points, *_ = pair_points()
    noisy = (points.theta > math.pi / 4).squeeze()
    assert 0 < noisy.sum() < 64
    turn, rest = points.theta - points.inner, points.inner - (points.theta - points.gap)
    middle, reach = turn.cos() * points.x, turn.sin() * points.velocity
    sides = [points._replace(earlier=middle + side * reach) for side in (1, -1)]
    wanted = f.landing(middle, points.inner, rest, f.direction(middle, points.inner, rest))
    plain, mirrored = (
        sum(make_objective("ct", mirrored=m).target_landing(context(f), side) for side in sides) / 2
        for m in (False, True)
    )
    torch.testing.assert_close(mirrored[noisy], wanted[noisy])
    torch.testing.assert_close(mirrored[~noisy], plain[~noisy])
    assert float((plain - wanted)[noisy].detach().abs().max()) > 1e-6


@pytest.mark.parametrize("kernel", ["laplace", "negative_square"])
def test_the_discrepancy_of_moments_is_the_sum_over_pairs(kernel):
    y, z = draw(2, 3, 4, 2, generator=stream(0, "particles"))
    width = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)[:, None, None]

    def k(a, b, width):
        length = (a - b).norm()
        return -(length**2) if kernel == "negative_square" else (-length / width).exp()

    for g, found in enumerate(matching(y, z, kernel, width)):
        w = float(width[g])
        pairs = [(i, j) for i in range(4) for j in range(4)]
        total = sum(k(y[g, i], y[g, j], w) + k(z[g, i], z[g, j], w) - 2 * k(y[g, i], z[g, j], w) for i, j in pairs)
        assert float(found) == pytest.approx(float(total) / 16, abs=2e-6)
        assert float(found) > 0


def test_rows_of_a_group_share_their_times_and_groups_do_not():
    for particles, size in ((4, 64), (3, 64), (5, 12)):
        objective = make_objective("imm", particles=particles, to_data=0.0, from_noise=0.0)
        for batch in batches(objective, 3, size):
            whole = size // particles * particles
            for column in (batch.theta, batch.gap, batch.inner):
                groups = column[:whole].reshape(-1, particles)
                assert bool((groups == groups[:, :1]).all())
                assert len(set(groups[:, 0].tolist())) == len(groups)


def test_a_drift_is_the_mean_of_the_data_less_that_of_the_others():
    x, y = draw(2, 3, 5, 2, generator=stream(0, "particles"))
    found, scale = drift(x, y, 0.3)
    for g in range(3):
        both = torch.cat((x[g], y[g]))
        mean_square = sum((a - b).square().sum() for a, b in itertools.combinations(both, 2)) / math.comb(10, 2)
        assert float(scale[g]) == pytest.approx(float(mean_square / 2) ** 0.5)
        for i in range(5):
            others, means = [j for j in range(5) if j != i], []
            for z in (y[g], x[g]):
                weights = torch.stack([(-(x[g, i] - z[j]).norm() / (0.3 * mean_square**0.5)).exp() for j in others])
                means.append((weights[:, None] * z[others]).sum(0) / weights.sum())
            torch.testing.assert_close(found[g, i], means[0] - means[1])


@given(st.integers(0, 99))
def test_a_drift_changes_its_sign_with_the_sets_and_is_zero_between_equal_ones(seed):
    """So that its mean is 0 where both are drawn from one law: which of the two another one is was chance."""
    x, y = draw(2, 1, 7, 3, generator=stream(seed, "particles"))
    assert float(drift(x, x, 0.2)[0].abs().max()) == 0
    swapped = torch.cat((x[:, :1], y[:, 1:]), 1), torch.cat((y[:, :1], x[:, 1:]), 1)
    assert float(drift(x, y, 0.2)[0][:, 0].abs().max()) > 1e-3
    torch.testing.assert_close(drift(*swapped, 0.2)[0][:, 0], -drift(x, y, 0.2)[0][:, 0])


def test_drifting_moves_landings_along_the_field():
    """The gradient by a landing is −2 V/scale², over the number of particles; no gradient flows through V."""
    objective, f = make_objective("drifting", particles=8), random_map("trig")
    (batch,) = batches(objective, 1, 20)
    batch = type(batch)(*(column.double() for column in batch))
    used = [column[:16] for column in batch]
    loss = objective.loss(context(f), batch)
    landing = f.at_angles(used[0], used[2], used[2] - used[3])
    field, scale = drift(landing.reshape(2, 8, 2), used[1].reshape(2, 8, 2), objective.temperature)
    torch.testing.assert_close(loss, (field / scale).square().sum(-1).mean())
    pulled = -(2 * field / scale**2).detach().reshape(16, 2) / 16
    torch.testing.assert_close(weights_gradient(loss, f), weights_gradient((pulled * landing).sum(), f))


def test_groups_that_drift_share_their_times_and_half_of_them_start_from_noise():
    objective = make_objective("drifting", particles=5)
    starts = []
    for batch in batches(objective, 20, 64, delta=0.01):
        groups = batch.theta[:60].reshape(12, 5)
        assert bool((groups == groups[:, :1]).all())
        torch.testing.assert_close(batch.theta - batch.gap, angle(torch.full((64, 1), 0.01)), rtol=0, atol=1e-6)
        starts += groups[:, 0].tolist()
    last = float(angle(torch.tensor(3.0)))
    assert sum(start == pytest.approx(last, abs=1e-6) for start in starts) / 240 == pytest.approx(0.5, abs=0.12)
    alone = make_objective("drifting", particles=5, from_noise=1.0)
    (batch,) = batches(alone, 1, 64)
    torch.testing.assert_close(batch.theta, torch.full_like(batch.theta, last))
    (small,) = batches(make_objective("drifting", from_noise=0.0), 1, 6)  # a batch smaller than a group is one
    assert bool((small.theta == small.theta[0]).all())
    small = type(small)(*(column.double() for column in small))
    assert bool(make_objective("drifting").loss(context(ExactMap()), small).isfinite())


def test_ctm_compares_at_the_earliest_time_through_the_averaged_map():
    f, averaged, (points, _, _) = random_map("trig"), random_map("trig", seed=1), pair_points()
    first, end = 0.02, points.theta - points.gap
    there = partial(averaged.at_angles, theta_t=end, theta_s=torch.full_like(end, first))
    landing = f.at_angles(points.x, points.theta, end)
    wanted = averaged.at_angles(points.earlier, points.inner, end)
    expected = there(landing) - there(wanted).detach()
    found = make_objective("ctm").errors(context(f, averaged, earliest=first), points)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        weights_gradient(found.square().sum(), f), weights_gradient(expected.square().sum(), f), rtol=1e-8, atol=1e-8
    )


# ---- sampling ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
def test_gamma_sampling_is_jumping_and_renoising(gamma):
    """CTM's γ-sampler, written with the levels σ/α and x/α, takes the states of a chain with γ² σ_t² = 1 − e^{−2η}."""
    f, grid = random_map("trig"), make_grid("uniform_angle", 4, horizon=3.0, delta=0.1)
    times = torch.tensor(grid.times, dtype=torch.float64)
    etas = [-0.5 * math.log1p(-((gamma * float(sigma(t))) ** 2)) for t in times[1:]]
    etas = [min(eta, float(t)) for eta, t in zip(etas, times[1:], strict=True)]
    noise, generator = starting_noise(50, 2, seed=0), stream(0, "fresh")
    x = noise / alpha(times[0])
    with torch.no_grad():
        for t, after in itertools.pairwise(times):
            level = noise_level(after) * math.sqrt(1 - gamma**2)
            s = torch.log1p(level**2) / 2
            x = f(x * alpha(t), float(t), float(s)) / alpha(s)
            if gamma:
                x += (noise_level(after) ** 2 - level**2).sqrt() * draw(50, 2, generator=generator)
    chain = renoised_chain(grid, etas)
    found = _along(f, noise, chain, stream(0, "fresh"))
    # γ = 1 lands at time 0 up to rounding, and an angle is the square root of a time there.
    torch.testing.assert_close(found, x * alpha(times[-1]), rtol=0, atol=1e-6)


def test_gamma_one_is_the_classic_loop_of_jumping_to_zero_and_renoising():
    f, grid = random_map("trig"), make_grid("uniform_angle", 4, horizon=3.0, delta=0.1)
    noise = starting_noise(50, 2, seed=0)
    # The engine's own noise: that of all stages of a point stands together.
    fresh = normal(50, 2 * len(grid.jumps), generator=stream(0, "fresh"))
    x = noise
    with torch.no_grad():
        for (t, after), added in zip(grid.jumps, fresh.split(2, dim=1), strict=True):
            a = math.exp(-after)
            x = a * f(x, t, 0.0) + math.sqrt(1 - a**2) * added
    renoised = SAMPLERS["renoise"].draw(f, noise, grid, generator=stream(0, "fresh"), renoise=1.0)
    torch.testing.assert_close(renoised.points, x, rtol=1e-10, atol=1e-10)
    etas = [-0.5 * math.log1p(-(float(sigma(torch.tensor(t, dtype=torch.float64))) ** 2)) for t in grid.times[1:]]
    assert etas == pytest.approx(make_chain(grid, sampler="renoise", renoise=1.0).etas)


@torch.no_grad()
def _along(f, x, chain, generator):
    for stage in chain.stages:
        x = f(x, stage.t, max(stage.s, 0.0))
        if stage.spread:
            x = stage.scale * x + stage.spread * draw(x.shape, generator=generator)
    return x


# ---- metrics ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("metric", get_args(Metric))
def test_metrics_are_their_formulas(metric):
    e, c = draw(20, 3, generator=stream(0, "errors")).requires_grad_(), 0.3
    length = e.detach().norm(dim=-1, keepdim=True)
    value = {
        "l2": length**2,
        "pseudo_huber": (length**2 + c**2).sqrt() - c,
        "adaptive": length**2 / (length**2 + c),
        "unit": length**2 / (length + c),
    }
    slope = {
        "l2": 2 * e,
        "pseudo_huber": e / (length**2 + c**2).sqrt(),
        "adaptive": 2 * e / (length**2 + c),
        "unit": 2 * e / (length + c),
    }
    found = distance(e, metric, c)
    torch.testing.assert_close(found.detach(), value[metric])
    torch.testing.assert_close(torch.autograd.grad(found.sum(), e)[0], slope[metric].detach())
    at_zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert not torch.autograd.grad(distance(at_zero, metric, c).sum(), at_zero)[0].any()


@FORMS
@pytest.mark.parametrize(
    ("name", "velocity"),
    [
        ("psd", "conditional"),
        ("eulerian", "conditional"),
        ("eulerian", "self"),
        ("lagrangian", "exact"),
        ("consistency", "exact"),
        ("consistency", "self"),
    ],
)
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_loss_is_the_mean_over_the_diagonal_and_the_rest(name, velocity, form, share):
    """However the rows are evaluated: together, or the diagonal by itself, by the square where pairs alone teach it."""
    power, metric, c = 2.0, "pseudo_huber", 0.5
    choice = {"velocity": velocity, "diagonal_share": share, "weight_power": power, "metric": metric, "metric_scale": c}
    objective, f = make_objective(name, **choice), random_map(form)
    (batch,) = batches(objective, 1, 64)
    batch = Points(*(column.double() for column in batch))
    rows = round(64 * share)
    on, off = batch.rows(slice(rows)), batch.rows(slice(rows, 64))
    assert not on.gap.any()
    assert bool((off.gap > 0).all())
    taught = f.preconditioning.velocity(on.x, on.theta, raw(f, on.x, on.theta, on.gap)) - on.velocity
    taught = taught / f.preconditioning.by_start(on.theta, on.gap).out
    total = distance(taught, "l2" if velocity == "self" else metric, c).sum()
    if len(off.x):
        total = total + (off.gap.sin() ** power * distance(objective.errors(context(f), off), metric, c)).sum()
    torch.testing.assert_close(objective.loss(context(f), batch), total / 64)


@pytest.mark.parametrize("name", ["ict", "ect"])
def test_improved_consistency_training_weighs_a_map_s_error_by_the_step_in_noise_level(name):
    """(√(|f(x_t, t, δ) − sg f(x_r, r, δ)|² + c²) − c)/(σ_t − σ_r), σ = tan θ."""
    f, targets, (points, _, _) = random_map("trig"), random_map("trig", seed=1), pair_points()
    choice = {"metric": "pseudo_huber", "metric_scale": 0.1, "space": "map", "step_power": 1.0, "weight_power": 0.0}
    objective = make_objective(name, diagonal_share=0.0, **choice)
    end = points.theta - points.gap
    with torch.no_grad():
        wanted = targets.at_angles(points.earlier, points.inner, end)
    error = f.at_angles(points.x, points.theta, end) - wanted
    huber = (error.square().sum(-1, keepdim=True) + 0.1**2).sqrt() - 0.1
    expected = (huber / (points.theta.tan() - points.inner.tan())).mean()
    found = objective.loss(context(f, targets), points)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(weights_gradient(found, f), weights_gradient(expected, f), rtol=1e-8, atol=1e-8)


# ---- batches ----------------------------------------------------------------------------------------------------
def test_batches_depend_on_their_stream_alone(objective):
    prepared = objective.prepare(source())
    torch.manual_seed(1)
    first = list(objective.batches(prepared, 3, 32, generator=stream(0, "batches 0")))
    torch.manual_seed(2)
    again = list(objective.batches(prepared, 3, 32, generator=stream(0, "batches 0")))
    other = list(objective.batches(prepared, 3, 32, generator=stream(0, "batches 1")))
    for a, b, c in zip(first, again, other, strict=True):
        assert all(torch.equal(u, v) for u, v in zip(a, b, strict=True))
        assert not torch.equal(a[0], c[0])
    assert not torch.equal(first[0].x, first[1].x)


def test_points_follow_the_marginals_of_the_process(name):
    """x at θ has the mean and covariance of p_t: white once its own are taken off."""
    if name == "trajectory_regression":
        return
    (batch,) = batches(make_objective(name), 1, 20_000)
    axes, variances = GAUSSIAN.axes[0], GAUSSIAN.variances[0]
    spread = (batch.theta.cos() ** 2 * variances + batch.theta.sin() ** 2).sqrt()
    white = ((batch.x - batch.theta.cos() * GAUSSIAN.means[0]) @ axes) / spread
    torch.testing.assert_close(white.mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=0.03)
    torch.testing.assert_close(white.T.cov(), torch.eye(2, dtype=torch.float64), rtol=0, atol=0.04)


def test_the_velocity_of_a_batch_is_of_the_kind_asked_for():
    (exact,), (taught,), (pairs,) = (
        batches(make_objective("mean_flow", velocity=velocity), 1, 256)
        for velocity in ("exact", "learned", "conditional")
    )
    torch.testing.assert_close(exact.velocity, exact_velocity(exact.x, exact.theta), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(taught.velocity, exact.velocity, rtol=1e-4, atol=1e-4)
    # x = cos θ x₀ + sin θ z and v = cos θ z − sin θ x₀: turned back by θ they are the pair, of data and white noise.
    data = pairs.theta.cos() * pairs.x - pairs.theta.sin() * pairs.velocity
    noise = pairs.theta.sin() * pairs.x + pairs.theta.cos() * pairs.velocity
    assert float((data.mean(0) - GAUSSIAN.means[0]).abs().max()) < 0.15
    assert float((noise.T.cov() - torch.eye(2)).abs().max()) < 0.3


def test_an_averaged_velocity_is_the_mean_over_the_pairs_that_may_have_made_the_point():
    """By Bayes' rule over the data of a group; and one row by itself has its own pair alone."""
    pairs = torch.rand(30, 7, generator=stream(0, "pairs"), dtype=torch.float64)
    data, noise, theta = pairs[:, :3], pairs[:, 3:6] - 0.5, 0.1 + 1.4 * pairs[:, 6:]
    x, conditional = theta.cos() * data + theta.sin() * noise, theta.cos() * noise - theta.sin() * data
    of_each = (x[:, None] - theta[:, :, None].cos() * data) / theta[:, :, None].sin()
    chances = (-of_each.square().sum(-1) / 2).exp()
    velocities = theta[:, :, None].cos() * of_each - theta[:, :, None].sin() * data
    expected = (chances[..., None] * velocities).sum(1) / chances.sum(1, keepdim=True)
    torch.testing.assert_close(averaged_velocity(x, theta, data, conditional), expected)
    alone = [averaged_velocity(*(column[i : i + 1] for column in (x, theta, data, conditional))) for i in range(30)]
    torch.testing.assert_close(torch.cat(alone), conditional)


def test_an_averaged_velocity_has_the_same_mean_and_less_noise():
    (pairs,), (averaged,) = (
        batches(make_objective("flow_matching", velocity=velocity), 1, 4 * GROUP)
        for velocity in ("conditional", "averaged")
    )
    errors = [found.velocity - exact_velocity(found.x, found.theta) for found in (pairs, averaged)]
    of_pairs, of_averages = (float(error.square().mean()) for error in errors)
    assert of_averages < 0.1 * of_pairs
    assert float(errors[1].mean(0).norm()) < 3 * (of_averages / len(pairs.x)) ** 0.5 + 0.01


@pytest.mark.parametrize("theta", [0.0, 1e-7, 1e-3, math.pi / 2 - 1e-7])
def test_an_averaged_velocity_is_finite_at_the_ends_of_time(theta):
    data, noise = torch.randn(2, 600, 2, generator=stream(0, "pairs"))
    angles = torch.full((600, 1), theta)
    x, conditional = angles.cos() * data + angles.sin() * noise, angles.cos() * noise - angles.sin() * data
    found = averaged_velocity(x, angles, data, conditional)
    assert bool(found.isfinite().all())
    if theta < 1e-5:  # no other pair comes as near
        torch.testing.assert_close(found, conditional, rtol=0.1, atol=0.1)


def test_pairs_are_ordered_and_cover_all_levels():
    objective = make_objective("trajectory_regression", trajectories=50, levels=5, to_data=0.2, from_noise=0.2)
    pool = objective.prepare(source())
    (batch,) = objective.batches(pool, 1, 4000, generator=stream(0, "pairs"))
    assert bool((batch.gap > 0).all())
    pairs = {(round(float(a), 4), round(float(b), 4)) for a, b in zip(batch.theta, batch.gap, strict=True)}
    assert len(pairs) == 10  # 5 · 4 / 2
    to_data = float((batch.gap == batch.theta - pool.angles[-1]).float().mean())
    assert to_data == pytest.approx(0.2 + 0.8 * 0.4, abs=0.05)  # 4 of the 10 pairs end at the last level


def test_steep_trajectories_are_drawn_in_proportion_to_their_stretch():
    pair = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.02, name="pair")
    objective = make_objective("trajectory_regression", trajectories=60, levels=2, steep_share=0.5)
    pool = objective.prepare(source(target=pair))
    (batch,) = objective.batches(pool, 1, 20_000, generator=stream(0, "pairs"))
    which = (batch.x[:, None] - pool.states[0]).norm(dim=-1).argmin(1)
    found = torch.bincount(which, minlength=60).numpy()
    expected = 20_000 / 60 * (0.5 + 0.5 * pool.stretch / pool.stretch.mean()).double()
    assert stats.chisquare(found, (expected * 20_000 / expected.sum()).numpy()).pvalue > 1e-3
    assert float(pool.stretch.max()) > 2 * float(pool.stretch.median())


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("trajectories", [1, 3])
def test_a_pool_may_be_as_small_as_one_trajectory(trajectories, share):
    objective = make_objective("trajectory_regression", trajectories=trajectories, levels=3, steep_share=share)
    (batch,) = batches(objective, 1, 16)
    assert all(bool(column.isfinite().all()) for column in batch)


def test_the_stretch_of_a_linear_flow_is_its_slope():
    line = GaussianMixture([1.0], [[0.5]], 0.2, name="line")
    pool = make_objective("trajectory_regression", trajectories=300).prepare(source(target=line))
    slope = math.sqrt(0.2 / float(alpha(torch.tensor(3.0)) ** 2 * 0.2 + sigma(torch.tensor(3.0)) ** 2))
    torch.testing.assert_close(pool.stretch, torch.full((300,), slope), rtol=1e-3, atol=0)


# ---- without a tape -------------------------------------------------------------------------------------------------
CHOICES = [
    *((name, {}) for name in OBJECTIVES),
    *(("psd", {"metric": metric}) for metric in get_args(Metric)),
    *((name, {"weight_power": 1.0}) for name in ("psd", "lsd", "trajectory_regression")),
    ("psd", {"diagonal_share": 1.0}),
    ("consistency", {"space": "map", "step_power": 0.5, "diagonal_share": 0.25}),
    ("esd", {"through_time": True}),
]


@FORMS
@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_a_step_without_the_tape_has_the_loss_and_the_gradient_of_the_tape(name, choice, members, form):
    objective = make_objective(name, **{**SMALL.get(name, {}), **choice})
    two_times, experts = not objective.velocity_only, 3 if form == "trig" else 1
    network = NetworkConfig(width=8, depth=2, preconditioning=form, second_time=two_times, experts=experts)
    seeds = [stream(i, "weights") for i in range(members or 1)]
    f = FlowMap(2, network, generator=seeds if members else seeds[0])
    batch, other = batches(objective, 2, 32)
    if members:
        batch = type(batch)(*map(torch.stack, zip(batch, other, strict=True)))
    fields = {"exact": lambda x, theta: x.sin() + theta, "learned": lambda x, theta: x.cos() - theta}
    of_batch = LossContext(f, f, fields, 0.0, 0.5)
    loss = objective.loss(of_batch, batch)
    expected = weights_gradient(loss.sum(), f)
    for p in f.parameters():
        p.grad = torch.ones_like(p)
    found = objective.backward(of_batch, batch)
    assert not found.requires_grad
    torch.testing.assert_close(found, loss.detach(), rtol=1e-4, atol=1e-6)
    added = torch.cat([p.grad.reshape(-1) - 1 for p in f.parameters()])
    assert float((added - expected).norm()) <= 1e-3 * float(expected.norm()) + 1e-6


@given(st.integers(0, 99))
def test_slopes_are_the_derivative_of_the_distance(seed):
    for metric in get_args(Metric):
        error = draw(5, 3, generator=stream(seed, "errors")).requires_grad_()
        found, slopes = distance_and_slope(error, metric, 0.3)
        torch.testing.assert_close(slopes, torch.autograd.grad(found.sum(), error)[0])


# ---- refusals ---------------------------------------------------------------------------------------------------
SENTENCE = r"^[^\n]+\.$"


@pytest.mark.parametrize(
    ("name", "choice", "words"),
    [
        ("trajectory_regression", {"nonsense": 1}, "has no parameter 'nonsense'"),
        ("lsd", {"velocity": "exact"}, "velocity is one of self"),
        ("mean_flow", {"velocity": "guessed"}, "velocity is one of"),
        ("psd", {"clock": "sundial"}, "clock is one of"),
        ("psd", {"metric": "l1"}, "metric is one of"),
        ("consistency", {"grid": "sundial"}, "grid is one of"),
        ("consistency", {"step": "long"}, "step is one of"),
        ("psd", {"diagonal_share": "much"}, "is a number"),
        ("psd", {"diagonal_share": 1.5}, "between 0 and 1"),
        ("psd", {"diagonal_share": 0.0}, "diagonal_share > 0"),
        ("psd", {"through": "the wall"}, "through is one of"),
        ("shortcut", {"through": "uniform"}, "midpoint"),
        ("shortcut", {"levels": 2.5}, "is a whole number"),
        ("esd", {"through_time": 1}, "true or false"),
        ("imm", {"diagonal_share": 0.5}, "leave diagonal_share at 0"),
        ("imm", {"kernel": "gaussian"}, "kernel is one of"),
        ("imm", {"particles": 0}, "between 1 and"),
        ("ctm", {"target_average": 0.0}, "averaged map"),
        ("ct", {"first_intervals": 0}, "first_intervals"),
        ("consistency", {"mirrored": True, "velocity": "exact"}, "mirrored needs"),
        ("flow_matching", {"diagonal_share": 0.5}, "leave diagonal_share at 1"),
        ("lsd", {"diagonal_share": 0.0}, "diagonal_share"),
        ("scm", {"velocity": "self"}, "diagonal_share"),
        ("lmd", {"teacher_steps": -1}, "teacher_steps"),
        ("trajectory_regression", {"teacher_steps": -1}, "teacher_steps"),
        ("trajectory_regression", {"velocity": "self"}, "velocity is"),
        ("eulerian", {"tangent_beta": 1.5}, "tangent_beta"),
        ("controlled_mean_flow", {"diagonal_share": 0.0}, "diagonal_share > 0"),
        ("alpha_flow", {"alpha_from": 0.5, "alpha_to": 0.5}, "alpha_from and alpha_to"),
        ("alpha_flow", {"alpha_floor": 0.0}, "alpha_floor"),
        ("tvm", {"gap_sd": 0.0}, "gap_sd"),
        ("drifting", {"particles": 1}, "particles"),
        ("drifting", {"temperature": 0.0}, "temperature"),
        ("drifting", {"from_noise": 2.0}, "from_noise"),
    ],
)
def test_bad_choices_are_one_sentence(name, choice, words):
    with pytest.raises(ValueError, match=words) as refusal:
        make_objective(name, **choice)
    assert refusal.match(SENTENCE)


def test_a_clock_that_stands_still_is_refused():
    objective = make_objective("mean_flow", clock="log_normal", log_mean=20.0, log_sd=0.1)
    with pytest.raises(ValueError, match=r"log_mean.*\.$"):
        objective.prepare(source())


@pytest.mark.parametrize("name", ["lmd", "trajectory_regression", "emd", "two_time_cd", "cd", "ctm", "ayf"])
def test_samples_have_no_exact_velocity(name):
    rows = cm.Samples(torch.randn(50, 2, generator=stream(0, "rows")), name="rows")
    with pytest.raises(ValueError, match="known by its samples alone"):
        cm.train(rows, objective=name, steps=1)


def test_a_target_that_is_not_smooth_stops_early(name):
    atoms = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 0.0, name="two atoms")
    with pytest.raises(ValueError, match="Stop early"):
        cm.train(atoms, objective=name, steps=1, delta=0.0)


@pytest.mark.parametrize(
    ("name", "choice", "run", "words"),
    [
        ("psd", {"diagonal_share": 0.0005}, {"batch": 512}, "comes to no row"),
        ("lsd", {"diagonal_share": 1e-9}, {}, "comes to no row"),
        ("lmd", {"diagonal_share": 0.01}, {"batch": 32}, "comes to no row"),
        ("lsd", {"diagonal_share": 0.9999}, {"batch": 512}, "no row off the diagonal"),
        ("esd", {"diagonal_share": 1.0}, {}, "no row off the diagonal"),
        ("imm", {"particles": 16}, {"batch": 8}, "choose a larger batch"),
        ("lmd", {"velocity": "learned", "teacher_budget": 1e-3}, {"steps": 100}, "comes to no step"),
        ("trajectory_regression", {"velocity": "learned", "teacher_budget": 1e-3}, {"steps": 100}, "comes to no step"),
        ("mean_flow", {"log_mean": 20.0, "log_sd": 0.1}, {}, "no time is left"),
        ("trajectory_regression", {}, {"horizon": 3.0, "delta": 2.9999}, "hardly any noise"),
        ("psd", {}, {"horizon": 1e-8, "delta": 0.0}, "hardly any noise"),
        ("psd", {"metric": "pseudo_huber", "metric_scale": 1e-30}, {}, "metric_scale"),
        ("psd", {"metric_scale": 1e20, "metric": "pseudo_huber"}, {}, "metric_scale"),
        ("trajectory_regression", {"threshold": 1e-30}, {}, "threshold"),
        ("trajectory_regression", {"weight_power": 1e4}, {}, "weight_power"),
        ("lsd", {"weight_power": -30.0}, {}, "weight_power"),
        ("ict", {"step_power": 9.0}, {}, "step_power"),
        ("imm", {"kernel_width": 1e-30}, {}, "kernel_width"),
    ],
)
def test_g1_a_setting_is_checked_as_what_it_comes_to(name, choice, run, words):
    """Shares that round to no row or no step, and numbers that single precision turns into 0 or infinity."""
    config = {"objective": name, "objective_parameters": choice, "steps": 100, **run}
    with pytest.raises(ValueError, match=words) as refusal:
        resolved(TrainingConfig(**config), GAUSSIAN)
    assert refusal.match(SENTENCE)


def test_g1_a_rate_that_moves_no_weight_is_refused():
    for rate in ("learning_rate", "matrix_learning_rate"):
        with pytest.raises(ValueError, match=rate):
            TrainingConfig(steps=100, **{rate: 1e-30})


def test_g1_defaults_and_shares_of_0_are_what_they_were(name):
    resolved(TrainingConfig(objective=name, steps=1000, batch=64), GAUSSIAN)
    if "diagonal_share" in make_objective(name).parameters() and name in ("lmd", "cd", "mean_flow", "scm"):
        choice = {"diagonal_share": 0.0}
        assert resolved(TrainingConfig(objective=name, objective_parameters=choice, steps=100), GAUSSIAN)


def test_a_jump_forward_in_time_is_refused():
    with pytest.raises(ValueError, match="s must not exceed t"):
        random_map("trig")(torch.zeros(3, 2, dtype=torch.float64), 0.5, torch.tensor([0.1, 0.6, 0.2]))


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**400),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    st.complex_numbers(),
)


@given(data=st.data())
def test_whatever_the_parameters_are_they_are_taken_or_refused_in_a_sentence(data):
    name = data.draw(st.sampled_from(list(OBJECTIVES)))
    fields = list(OBJECTIVES[name].__dataclass_fields__)
    chosen = data.draw(st.dictionaries(st.sampled_from([*fields, "nonsense"]), ANYTHING, min_size=1, max_size=3))
    refusal = "None."
    try:
        objective = make_objective(name, **chosen)
        assert make_objective(name, **objective.parameters()) == objective
    except ValueError as error:
        refusal = str(error)
    assert refusal.endswith(".")
    assert "\n" not in refusal


def test_whole_numbers_written_as_decimals_are_whole_numbers():
    """A form or a link may say 17.0."""
    objective = make_objective("trajectory_regression", trajectories=50.0, levels=5.0)
    assert [type(v) for v in (objective.trajectories, objective.levels)] == [int, int]
    batches(objective, 1, 8)
    batches(make_objective("ict", first_intervals=10.0, intervals=1280.0), 1, 8, progress=0.5)


# ---- a GPU ------------------------------------------------------------------------------------------------------
def one_step(name, device):
    choices = {**SMALL.get(name, {})}
    config = TrainingConfig(
        objective=name,
        objective_parameters=choices,
        network=NetworkConfig(width=16, depth=3),
        steps=2,
        batch=64,
        device=device,
        threads=1,
        matmul_dtype="float32",
        warmup=1,
    )
    run = TrainingRun(GAUSSIAN, resolved(config, GAUSSIAN))
    list(run.prepare())
    run.take_step()
    run.take_step()
    return run


def test_a_step_of_every_objective_moves_the_weights(name):
    run = one_step(name, "cpu")
    assert bool(run.loss.isfinite().all())
    assert float(run.gradient_norm) > 0
    assert isinstance(run.objective, Composition) or name in ("trajectory_regression", "drifting")


@pytest.mark.cuda
def test_on_cuda_a_step_of_every_objective_is_the_same(name):
    there, here = one_step(name, "cuda"), one_step(name, "cpu")
    torch.testing.assert_close(there.loss, here.loss, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(there.gradient_norm, here.gradient_norm, rtol=2e-2, atol=1e-4)
