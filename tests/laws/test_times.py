"""Laws of the clocks and of the draws made with them: which (t, r, s) each family is taught."""

import math
from typing import get_args

import pytest
import torch
from scipy import stats

from cmcore.config import NetworkConfig
from cmcore.model import FlowMap
from cmcore.objectives import OBJECTIVES, BatchSource, LossContext, make_objective
from cmcore.objectives.clocks import Clock, ClockName
from cmcore.objectives.composition import SMALLEST_GAP, Composition
from cmcore.objectives.identities.consistency import Consistency
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.objectives.identities.lagrangian import Lagrangian
from cmcore.objectives.identities.semigroup import Semigroup
from cmcore.preconditioning import angle_at, linear_time
from cmcore.process import angle, time_from_angle
from cmcore.settings import settings_of
from cmcore.streams import stream
from cmcore.targets import GaussianMixture

HORIZON = 3.0
TARGET = GaussianMixture([1.0], [[0.5, -1.0]], 0.2, name="gaussian")
COMPOSED = [name for name, kind in OBJECTIVES.items() if issubclass(kind, Composition)]
NO_SHARES = {"to_data": 0.0, "from_noise": 0.0, "diagonal_share": 0.0}
UNLIKELY = 1e-3


def ends(delta):
    return angle(torch.tensor([delta, HORIZON], dtype=torch.float64)).tolist()


def rows(objective, n=4096, progress=0.0, delta=0.0):
    """Points, and the clock of their times."""
    source = BatchSource(TARGET, HORIZON, delta, torch.device("cpu"), stream(0, "objective"), lambda x, theta: 0 * x)
    prepared = objective.prepare(source)
    (batch,) = objective.batches(prepared, 1, n, generator=stream(0, "batches"), progress=progress)
    return batch, prepared.clock


def chances(n, **columns):
    """Uniform numbers as `angles` takes them, some replaced: late, early, from_noise, to_data, rest."""
    chance = torch.rand(5, n, generator=stream(0, "chance"), dtype=torch.float64)
    for i, name in enumerate(("late", "early", "from_noise", "to_data", "rest")):
        if name in columns:
            chance[i] = columns[name]
    return chance


# ---- clocks -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", get_args(ClockName))
@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.5])
def test_a_clock_is_read_as_it_is_set(name, delta):
    clock = Clock(name, *ends(delta), mean=-0.8, sd=1.5)
    reading = torch.linspace(0, 1, 501, dtype=torch.float64)
    theta = clock.angle(reading)
    torch.testing.assert_close(clock.read(theta), reading, rtol=0, atol=1e-9)
    assert bool((theta.diff() > 0).all())
    assert [float(theta[0]), float(theta[-1])] == ends(delta)
    single = clock.angle(reading.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), theta, rtol=0, atol=1e-6)


@pytest.mark.parametrize("delta", [0.0, 0.05])
@pytest.mark.parametrize("name", get_args(ClockName))
def test_a_uniform_reading_has_the_law_of_its_clock(name, delta):
    first, last = ends(delta)
    mean, sd = -0.8, 1.5
    reading = torch.rand(5000, generator=stream(0, "readings"), dtype=torch.float64)
    theta = Clock(name, first, last, mean, sd).angle(reading)
    if name == "log_normal":
        low, high = ((math.log(math.tan(u)) - mean) / sd if u else -math.inf for u in (first, last))
        drawn, law = theta.tan().log(), stats.truncnorm(low, high, loc=mean, scale=sd)
    else:
        of = {"uniform_angle": lambda u: u, "uniform_linear": linear_time, "karras": lambda u: u.tan() ** (1 / 7)}[name]
        low, high = of(torch.tensor([first, last], dtype=torch.float64)).tolist()
        drawn, law = of(theta), stats.uniform(low, high - low)
    assert stats.kstest(drawn.numpy(), law.cdf).pvalue > UNLIKELY
    assert stats.kstest(drawn.numpy() + 0.1 * float(drawn.std()), law.cdf).pvalue < UNLIKELY


def test_a_log_normal_level_is_a_logit_normal_linear_time():
    """MeanFlow's law of τ and EDM's of σ/α are one."""
    theta = torch.linspace(0.1, 1.4, 20, dtype=torch.float64)
    torch.testing.assert_close(torch.logit(linear_time(theta)), theta.tan().log())


HORIZONS = (0.05, 3.0, 17.9, 18.0, 20.0)


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("name", get_args(ClockName))
def test_g2_no_clock_leaves_its_range_in_single_precision(name, horizon):
    """θ_T rounds above π/2 from T = 17.9 on: its tangent is negative there, and roots of it are no numbers."""
    clock = Clock(name, *angle(torch.tensor([0.0, horizon], dtype=torch.float64)).tolist())
    for reading in (torch.linspace(0, 1, 501), torch.linspace(0.999, 1, 501)):
        theta = clock.angle(reading)
        assert theta.dtype == torch.float32
        assert bool((theta.double() < math.pi / 2).all())
        assert bool((theta.tan() >= 0).all())
        read = clock.read(theta)
        assert bool(((read >= 0) & (read <= 1 + 1e-5)).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_g2_an_angle_lies_below_a_right_one_in_every_precision(dtype):
    theta = angle(torch.tensor([0.5, *HORIZONS, 25.0], dtype=dtype))
    assert bool((theta.double() < math.pi / 2 + 1e-16).all())
    assert bool((theta.tan() > 0).all())
    assert bool(torch.isfinite(time_from_angle(theta.float())).all())


def test_g2_times_come_back_from_angles_near_a_right_one():
    times = torch.tensor([1e-9, 1e-3, 0.5, 3.0, 9.0, 12.0], dtype=torch.float64)
    torch.testing.assert_close(time_from_angle(angle(times)), times, rtol=1e-9, atol=0)
    single = time_from_angle(angle(times.float()))
    torch.testing.assert_close(single[:4].double(), times[:4], rtol=1e-4, atol=0)


def velocities(horizon):
    exact = BatchSource(TARGET, horizon, 0.0, torch.device("cpu"), stream(0, "objective")).exact_velocity
    return {"exact": exact, "learned": exact}


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_g2_every_objective_on_every_clock_is_finite_at_every_horizon(name, horizon):
    """Batches, losses and gradients of the first step; from T = 18 on several were no numbers."""
    own = {"trajectory_regression": {"trajectories": 64, "levels": 9}, "drifting": {"particles": 16}}
    for choice in [own[name]] if name in own else [{"clock": clock} for clock in get_args(ClockName)]:
        objective, fields = make_objective(name, **choice), velocities(horizon)
        network = NetworkConfig(width=8, depth=2, preconditioning=objective.preconditioning)
        flow_map = FlowMap(2, network, generator=stream(0, "weights"))
        source = BatchSource(TARGET, horizon, 0.0, torch.device("cpu"), stream(0, "objective"), fields["learned"])
        prepared = objective.prepare(source)
        for progress in (0.0, 1.0):
            (batch,) = objective.batches(prepared, 1, 128, generator=stream(0, "batches"), progress=progress)
            assert all(bool(torch.isfinite(column).all()) for column in batch), choice
            assert bool((batch.theta.double() < math.pi / 2).all())
            assert bool((batch.gap >= 0).all())
            for p in flow_map.parameters():
                p.grad = torch.zeros_like(p)
            loss = objective.backward(LossContext(flow_map, flow_map, fields, 0.0, progress), batch)
            slopes = [p.grad for p in flow_map.parameters()]
            assert bool(torch.isfinite(loss)), choice
            assert all(bool(torch.isfinite(slope).all()) for slope in slopes if slope is not None), choice


@pytest.mark.parametrize("name", ["gaussian", "pair"])
def test_g2_the_exact_velocity_is_exact_near_a_right_angle(name):
    """−tan θ (x + score) cancels: in single precision nothing is left of it at T = 18."""
    target = TARGET if name == "gaussian" else GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.09, name="pair")
    source = BatchSource(target, 20.0, 0.0, torch.device("cpu"), stream(0, "objective"))
    x = torch.randn(200, 2, generator=stream(0, "x"))
    for t in (9.0, 14.0, 18.0):
        theta = angle(torch.full((200, 1), t))
        found = source.exact_velocity(x, theta)
        assert found.dtype == torch.float32
        # As θ → π/2 the velocity dx/dθ tends to the mean of the data, minus what the covariance adds to first order.
        torch.testing.assert_close(found, -target.mean.float().expand_as(found), rtol=0, atol=2e-3)


# ---- every draw -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize(("delta", "progress"), [(0.0, 0.0), (0.01, 0.5), (1e-4, 1.0)])
def test_times_are_in_order_and_in_range(name, delta, progress):
    objective = make_objective(name)
    batch, _ = rows(objective, progress=progress, delta=delta)
    first, last = ends(delta)
    theta, end, inner = (u.double() for u in (batch.theta, batch.theta - batch.gap, batch.inner))
    diagonal = objective.diagonal_rows(len(theta))
    assert not batch.gap[:diagonal].any()
    off = slice(diagonal, None)
    assert bool((batch.gap[off] > 0).all())
    rounding = 2e-7
    assert float(end.min()) >= first - rounding
    assert float(theta.max()) <= last + rounding
    assert bool((inner[off] >= end[off] - rounding).all())
    if isinstance(objective, Consistency | Semigroup):
        assert bool((inner[off] < theta[off]).all())
    if isinstance(objective, Semigroup):
        assert bool((inner[off] > end[off]).all())


@pytest.mark.parametrize("name", [n for n in COMPOSED if issubclass(OBJECTIVES[n], Lagrangian | Eulerian | Semigroup)])
def test_gaps_have_a_floor(name):
    if name in ("scm", "shortcut"):
        return  # their gaps are those to δ, and of a grid
    objective = make_objective(name, to_data=0.0, from_noise=0.0)
    batch, clock = rows(objective, 60_000)
    off = batch.rows(slice(objective.diagonal_rows(60_000), None))
    gap = clock.read(off.theta.double()) - clock.read((off.theta - off.gap).double())
    assert float(gap.min()) > SMALLEST_GAP * 0.98
    assert float(gap.min()) < SMALLEST_GAP * 1.5 or name in ("ayf", "tvm")  # whose gaps are seldom so small


@pytest.mark.parametrize("clock", get_args(ClockName))
def test_times_are_uniform_on_the_triangle_of_the_clock(clock):
    """The later of two uniform readings, and the earlier: squares of late, and early/late, are uniform."""
    objective, of = make_objective("eulerian", velocity="exact", clock=clock, **NO_SHARES), Clock(clock, *ends(0.0))
    theta, end, _ = objective.angles(of, chances(5000), 0.0)
    late, early = of.read(theta), of.read(end)
    assert stats.kstest((late**2).numpy(), "uniform").pvalue > UNLIKELY
    assert stats.kstest((early / (late - SMALLEST_GAP)).clamp(0, 1).numpy(), "uniform").pvalue > UNLIKELY


def test_the_diagonal_is_uniform_in_the_clock():
    batch, of = rows(make_objective("psd", clock="karras", diagonal_share=1.0), 5000)
    assert stats.kstest(of.read(batch.theta.double())[:, 0].numpy(), "uniform").pvalue > UNLIKELY


@pytest.mark.parametrize("name", ["lsd", "psd", "eulerian", "ayf", "shortcut", "two_time_cd", "ctm", "imm"])
def test_shares_are_what_was_asked_for(name):
    n, diagonal = 20_000, 0.0 if name == "imm" else 0.25
    one_a_group = {"particles": 1} if name == "imm" else {}

    def at_the_ends(**shares):
        batch, clock = rows(make_objective(name, diagonal_share=diagonal, **one_a_group, **shares), n)
        off = batch.rows(slice(round(n * diagonal), None))
        at_end, at_start = (off.theta - off.gap) <= clock.first + 1e-6, off.theta >= clock.last - 1e-6
        return float(at_end.float().mean()), float(at_start.float().mean())

    end_by_chance, start_by_chance = at_the_ends(to_data=0.0, from_noise=0.0)
    assert at_the_ends(to_data=0.3, from_noise=0.0)[0] == pytest.approx(0.3 + 0.7 * end_by_chance, abs=0.02)
    assert at_the_ends(to_data=0.0, from_noise=0.2)[1] == pytest.approx(0.2 + 0.8 * start_by_chance, abs=0.02)


def test_gaps_of_ayf_are_logit_normal():
    objective = make_objective("ayf", clock="uniform_linear", gap_mean=-0.5, gap_sd=0.8, **NO_SHARES)
    batch, clock = rows(objective, 5000)
    late, early = (clock.read(u.double())[:, 0] for u in (batch.theta, batch.theta - batch.gap))
    gap = late - early
    assert stats.kstest(torch.logit(gap).numpy(), stats.norm(-0.5, 0.8).cdf).pvalue > UNLIKELY
    assert stats.kstest((early / (1 - gap)).numpy(), "uniform").pvalue > UNLIKELY


def test_scm_always_ends_at_delta():
    batch, clock = rows(make_objective("scm", log_mean=-1.0, log_sd=1.4, diagonal_share=0.0), 5000, delta=0.01)
    torch.testing.assert_close(batch.theta - batch.gap, torch.full_like(batch.theta, clock.first), rtol=0, atol=2e-7)
    low, high = ((math.log(math.tan(u)) + 1) / 1.4 for u in (clock.first, clock.last))
    law = stats.truncnorm(low, high, loc=-1, scale=1.4)
    assert stats.kstest(batch.theta.double().tan().log()[:, 0].numpy(), law.cdf).pvalue > UNLIKELY


@pytest.mark.parametrize("through", ["midpoint", "uniform"])
def test_the_semigroup_s_time_in_between(through):
    batch, clock = rows(make_objective("psd", clock="uniform_linear", through=through, diagonal_share=0.01), 5000)
    off = batch.rows(slice(50, None))
    late, early, inner = (clock.read(u.double())[:, 0] for u in (off.theta, off.theta - off.gap, off.inner))
    share = ((inner - early) / (late - early))[late - early > 0.05]
    if through == "midpoint":
        torch.testing.assert_close(share, torch.full_like(share, 0.5), rtol=0, atol=1e-4)
    else:
        assert stats.kstest(share.numpy(), "uniform").pvalue > UNLIKELY


# ---- neighbours -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("grid", get_args(ClockName))
@pytest.mark.parametrize("delta", [0.0, 0.01])
@pytest.mark.parametrize("most_steps", [1, 5])
def test_on_a_grid_all_three_times_are_points_of_it(grid, delta, most_steps):
    number = 20
    choice = {"grid": grid, "intervals": number, "first_intervals": number, "most_steps": most_steps}
    batch, clock = rows(make_objective("consistency", velocity="exact", **choice), delta=delta)
    points = Clock(grid, clock.first, clock.last).angle(torch.arange(number + 1, dtype=torch.float64) / number)
    times = batch.theta, batch.inner, batch.theta - batch.gap
    indices = []
    for u in times:
        distance = (u.double() - points).abs()
        assert float(distance.min(1).values.max()) < 1e-6
        indices.append(distance.argmin(1))
    t, r, s = indices
    if points.diff().min() > 1e-5:  # else points next to δ are one and the same in single precision
        assert bool((s <= r).all())
        assert bool((r < t).all())
        assert int((t - r).max()) == most_steps


def test_ctm_takes_k_steps_in_proportion_to_k():
    number = 17
    choice = {"intervals": 18, "first_intervals": 18, "most_steps": number, "grid": "uniform_angle"}
    objective = make_objective("ctm", to_data=1.0, from_noise=1.0, diagonal_share=0.0, **choice)
    batch, clock = rows(objective, 20_000)
    steps = ((clock.last - batch.inner.double()) / (clock.last - clock.first) * 18).round().int().flatten()
    found = torch.bincount(steps, minlength=number + 1)[1:].numpy()
    k = torch.arange(1, number + 1, dtype=torch.float64)
    expected = (len(steps) * k / k.sum()).numpy()
    assert stats.chisquare(found, expected).pvalue > UNLIKELY


def test_ct_s_grids_grow_as_published():
    """N(k) = ⌈√(k/K ((s₁ + 1)² − s₀²) + s₀²) − 1⌉ + 1 with s₀ = 2, s₁ = 150, bounded by s₁."""
    objective = make_objective("ct", first_intervals=2, intervals=150, growth="square_root")
    assert [objective.intervals_at(p) for p in (0.0, 1 / 16, 1 / 4, 1 / 2, 1.0)] == [2, 38, 76, 107, 150]


def test_ict_s_grids_double_as_published():
    """11, 21, …, 1281 points in eight stages alike."""
    objective = make_objective("ict", first_intervals=10, intervals=1280, growth="doubling")
    assert [objective.intervals_at((i + 0.5) / 8) + 1 for i in range(8)] == [11, 21, 41, 81, 161, 321, 641, 1281]
    assert [objective.intervals_at(p) for p in (0.0, 1 / 8 - 1e-6, 1 / 8, 1.0)] == [10, 10, 20, 1280]


GROWING = [n for n in COMPOSED if getattr(make_objective(n), "growth", "constant") != "constant"]


@pytest.mark.parametrize("name", GROWING)
def test_g3_a_growing_grid_comes_to_the_number_of_intervals_that_is_documented(name):
    """With its own defaults: from the first number, never less than before, to the last for a good share of the run."""
    objective = make_objective(name)
    numbers = [objective.intervals_at(i / 2000) for i in range(2001)]
    assert numbers[0] == objective.first_intervals
    assert max(numbers) == numbers[-1] == objective.intervals
    assert numbers == sorted(numbers)
    share = {"doubling": 1 / 6, "square_root": 0.02, "exponential": 5e-4}[objective.growth]
    assert numbers.count(objective.intervals) / 2001 > 0.95 * share
    words = OBJECTIVES[name].__doc__
    assert f"{objective.intervals:,}" in words or name == "ect"  # which names its stages, six


@pytest.mark.parametrize(("first", "last"), [(10, 256), (10, 15), (7, 7), (2, 64), (1, 1000)])
def test_g3_stages_that_double_are_alike_and_the_last_has_all_intervals(first, last):
    objective = make_objective("ict", first_intervals=first, intervals=last)
    stages = math.ceil(math.log2(last / first)) + 1
    found = [objective.intervals_at((i + 0.5) / stages) for i in range(stages)]
    assert found == [min(last, first * 2**i) for i in range(stages)]
    assert found[-1] == last


def test_g3_the_stages_of_ict_are_those_of_its_docstring():
    assert [make_objective("ict").intervals_at((i + 0.5) / 6) for i in range(6)] == [10, 20, 40, 80, 160, 256]
    assert "10, 20, 40, 80, 160 and 256" in OBJECTIVES["ict"].__doc__


DOCUMENTED = {
    "alpha_flow": [
        ("(here half)", {"diagonal_share": 0.5, "metric": "l2"}), ("floor 0.005", {"alpha_floor": 0.005}),
        ("first half", {"alpha_from": 0.0, "alpha_to": 0.5}),
        ("N(−1, 1.4²)", {"log_mean": -1.0, "log_sd": 1.4}),
    ],
    "ayf": [("divided by |E| + 0.1", {"metric": "unit", "metric_scale": 0.1})],
    "cd": [("(here 64)", {"intervals": 64}), ("decay 0.95", {"target_average": 0.95}), ("Karras", {"grid": "karras"})],
    "controlled_mean_flow": [("β = 0.9", {"tangent_beta": 0.9}), ("(here 0.9)", {"target_average": 0.9})],
    "ct": [("from 2 to 150", {"first_intervals": 2, "intervals": 150, "growth": "square_root"})],
    "ctm": [("18 points", {"intervals": 18, "most_steps": 17}), ("(here\n    0.99)", {"target_average": 0.99})],
    "drifting": [("(here 128)", {"particles": 128}), ("(here τ = 0.1 alone", {"temperature": 0.1})],
    "ect": [("N(−1.1, 2²)", {"log_mean": -1.1, "log_sd": 2.0}), ("over σ_t − σ_r", {"step_power": 1.0})],
    "emd": [("unit", {"metric": "unit"})],
    "esd": [("(here half)", {"diagonal_share": 0.5})],
    "flow_matching": [("L = E |F(x_t, t, t) − F_v|²", {"diagonal_share": 1.0, "metric": "l2"})],
    "ict": [("N(−1.1, 2²)", {"log_mean": -1.1, "log_sd": 2.0}), ("c = 0.00076", {"metric_scale": 0.00076})],
    "imm": [
        ("(here sixteen)", {"particles": 16}), ("(here three)", {"kernel_width": 3.0}),
        ("(here 1/4 of a range of 20, falling to 1/128)", {"first_intervals": 4, "intervals": 128, "step": "level"}),
        ("uniform in the linear path's time", {"clock": "uniform_linear"}), ("Laplace", {"kernel": "laplace"}),
    ],
    "improved_mean_flow": [
        ("half of\n    the rows", {"diagonal_share": 0.5}), ("(here N(−1, 1.4²))", {"log_mean": -1.0, "log_sd": 1.4}),
        ("(here the plain square)", {"metric": "l2"}), ("v_f", {"tangent_beta": 1.0, "target_average": 0.0}),
    ],
    "lmd": [("pseudo-Huber", {"metric": "pseudo_huber"})],
    "lsd": [("3/4 of the rows", {"diagonal_share": 0.75, "metric": "l2", "clock": "uniform_angle"})],
    "mean_flow": [("N(−1, 1.4²)", {"log_mean": -1.0, "log_sd": 1.4}), ("(here half)", {"diagonal_share": 0.5})],
    "multistep_cm": [("(here 256)", {"first_intervals": 64, "intervals": 256, "metric": "pseudo_huber"})],
    "psd": [("midpoint", {"through": "midpoint"})],
    "scm": [("N(−1, 1.4²)", {"log_mean": -1.0, "log_sd": 1.4}), ("|E| + 0.1", {"metric_scale": 0.1, "metric": "unit"})],
    "shortcut": [("half (there 7/8)", {"diagonal_share": 0.5})],
    "trajectory_regression": [("40,000, and down to 4,000", {"trajectories": None})],
    "tvm": [
        ("decay 0.99", {"target_average": 0.99}), ("N(−0.8, 1)", {"gap_mean": -0.8, "gap_sd": 1.0}),
        ("as many rows on the\n    diagonal as off it", {"diagonal_share": 0.5}),
        ("(here N(−1, 1.4²))", {"log_mean": -1.0, "log_sd": 1.4}),
    ],
    "two_time_cd": [("ψ one DDIM step", {"solver": "ddim", "solver_steps": 1})],
}  # fmt: skip


def one_line(*texts):
    """Python 3.13 leaves the indentation of docstrings out."""
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize("name", [n for n, kind in OBJECTIVES.items() if not kind.building_block])
def test_g3_the_numbers_of_a_docstring_are_the_defaults(name):
    assert name in DOCUMENTED
    parameters = make_objective(name).parameters()
    said = one_line(OBJECTIVES[name].__doc__, *(setting.help for setting in settings_of(OBJECTIVES[name])))
    for words, values in DOCUMENTED[name]:
        assert one_line(words) in said
        assert {key: parameters[key] for key in values} == values


def test_gaps_of_tvm_are_logit_normal_in_the_linear_path_s_time_and_starts_uniform_below_them():
    objective, clock = make_objective("tvm"), Clock("log_normal", *ends(0.0), mean=-1.0, sd=1.4)
    theta, end, _ = objective.angles(clock, chances(20_000, to_data=1.0, from_noise=1.0), 1.0)
    first, last = (float(linear_time(torch.tensor(u, dtype=torch.float64))) for u in ends(0.0))
    late, early = linear_time(theta), linear_time(end)
    gap = (late - early) / (last - first)
    assert stats.kstest(torch.special.logit(gap).numpy(), stats.norm(-0.8, 1.0).cdf).pvalue > UNLIKELY
    most = clock.read(angle_at(last - (late - early)))
    assert stats.kstest((clock.read(end) / most).numpy(), "uniform").pvalue > UNLIKELY


@pytest.mark.parametrize(("components", "most"), [(1, 40_000), (32, 40_000), (64, 20_000), (500, 4_000)])
def test_g3_a_pool_has_the_trajectories_that_are_documented(components, most):
    means = torch.randn(components, 2, generator=stream(0, "means"))
    law = GaussianMixture([1 / components] * components, means.tolist(), 0.2, name="many")
    source = BatchSource(law, HORIZON, 0.0, torch.device("cpu"), stream(0, "objective"))
    assert make_objective("trajectory_regression")._most(source) == most


def test_g3_imm_s_steps_are_the_documented_shares_of_a_range_of_20():
    objective, clock = make_objective("imm"), Clock("uniform_linear", *ends(0.0))
    for progress, share in ((0.0, 1 / 4), (1.0, 1 / 128)):
        theta, end, inner = objective.angles(clock, chances(2000, from_noise=1.0, to_data=1.0), progress)
        free = (inner > end + 1e-9) & (theta - inner > 1.1e-5)
        assert free.sum() > 50
        found = (theta.tan() - inner.tan())[free] / 20
        torch.testing.assert_close(found, torch.full_like(found, share), rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.2, 1.0])
def test_g3_gaps_grow_over_their_share_of_the_run(progress):
    objective, clock = make_objective("lsd", gap_warmup=0.4, **{**NO_SHARES, "diagonal_share": 0.5}), ends(0.0)
    clock = Clock("uniform_angle", *clock)
    theta, end, _ = objective.angles(clock, chances(4000), progress)
    largest = float((clock.read(theta) - clock.read(end)).max())
    assert largest == pytest.approx(min(1.0, max(0.02, progress / 0.4)), rel=0.05)


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_g3_rows_weigh_the_power_of_the_sine_of_their_gap(power):
    batch, _ = rows(make_objective("lsd", weight_power=power, diagonal_share=0.25), 64)
    off = batch.rows(slice(16, None))
    weights = make_objective("lsd", weight_power=power).weights(off)
    torch.testing.assert_close(weights, off.gap.sin() ** power)


def test_multistep_grids_grow_geometrically():
    objective = make_objective("multistep_cm", first_intervals=64, intervals=1280, growth="exponential")
    assert [objective.intervals_at(p) for p in (0.0, 0.5, 1.0)] == [64, round(math.sqrt(64 * 1280)), 1280]


def test_a_constant_grid_does_not_grow():
    objective = make_objective("two_time_cd", first_intervals=5, intervals=64, growth="constant")
    assert [objective.intervals_at(p) for p in (0.0, 0.5, 1.0)] == [64, 64, 64]


def test_ict_s_points_have_the_probabilities_of_the_log_normal_law():
    """P(i) ∝ erf((ln σ_{i+1} − m)/(√2 s)) − erf((ln σ_i − m)/(√2 s))."""
    number, delta, mean, sd = 10, 1e-3, -1.1, 2.0
    choice = {"first_intervals": number, "intervals": number, "growth": "constant", "grid": "karras"}
    objective = make_objective("ict", clock="log_normal", log_mean=mean, log_sd=sd, diagonal_share=0.0, **choice)
    batch, clock = rows(objective, 20_000, delta=delta)
    grid = Clock("karras", clock.first, clock.last)
    found = torch.bincount((grid.read(batch.theta.double()) * number).round().int().flatten(), minlength=number + 1)
    levels = grid.angle(torch.arange(number + 1, dtype=torch.float64) / number).tan().log()
    mass = torch.erf((levels - mean) / (math.sqrt(2) * sd)).diff()
    expected = (mass / mass.sum() * len(batch.theta)).numpy()
    assert int(found[0]) == 0
    assert stats.chisquare(found[1:].numpy(), expected).pvalue > UNLIKELY


@pytest.mark.parametrize(
    ("progress", "level", "ratio", "tolerance"),
    [
        (0.0, 1.5, 0.0, 1e-3),  # stage 0: r = 0 below σ = ln 7, which is denoising
        (0.0, 1.9, 0.0, 1e-3),
        (0.0, 19.0, 0.5, 1e-3),
        (0.4, 0.1, 0.70, 0.005),  # stage 3
        (0.4, 2.0, 0.88, 0.005),
    ],
)
def test_ect_s_neighbours_are_at_the_published_ratio(progress, level, ratio, tolerance):
    choice = {"first_intervals": 2, "intervals": 256, "growth": "doubling", "step": "relative", "ends": "data"}
    objective = make_objective("ect", **choice)
    clock = Clock("karras", *ends(0.0))
    reading = clock.read(torch.tensor([math.atan(level)], dtype=torch.float64))
    theta, end, inner = objective.angles(clock, chances(1, late=reading), progress)
    assert float(theta.tan()) == pytest.approx(level)
    assert not end.any()
    assert float(inner.tan()) / level == pytest.approx(ratio, abs=tolerance)


def test_imm_s_neighbours_are_at_a_fixed_difference_of_levels():
    number = 512
    objective = make_objective("imm", step="level", intervals=number, first_intervals=number)
    clock = Clock("uniform_linear", *ends(0.01))
    theta, end, inner = objective.angles(clock, chances(2000), 0.0)
    step = (math.tan(clock.last) - math.tan(clock.first)) / number
    expected = torch.maximum((theta.tan() - step).clamp_min(0).atan(), end)
    expected = torch.minimum(expected, theta - 1e-5)
    torch.testing.assert_close(inner, expected, rtol=0, atol=1e-12)
    assert bool((inner > end).any())
    assert bool((inner == end).any())


@pytest.mark.parametrize("segments", [1, 3, 4])
@pytest.mark.parametrize("progress", [0.0, 0.31, 1.0])
def test_segments_end_where_they_should(segments, progress):
    """s is the end of the segment that holds t, whatever the grid's number of points at that moment."""
    even = {"clock": "uniform_linear", "grid": "uniform_linear"}
    batch, clock = rows(make_objective("multistep_cm", segments=segments, **even), progress=progress)
    late, early = (clock.read(u.double())[:, 0] for u in (batch.theta, batch.theta - batch.gap))
    torch.testing.assert_close(early * segments, (early * segments).round(), rtol=0, atol=1e-4)
    assert bool((late - early <= 1 / segments + 1e-5).all())
    assert set((early * segments).round().int().tolist()) == set(range(segments))
