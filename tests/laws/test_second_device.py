"""Laws of everything that may run on a GPU, on a second device that every machine has.

There a mixed device is refused as a GPU refuses it, and what would make the host wait for the device is seen: in a hot
loop none may, and what decides by values may a bounded number of times, however many points there are.
"""

from contextlib import contextmanager

import pytest
import torch

from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl
from cmcore.flow import ExactFlow, trajectory_pool
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.objectives import OBJECTIVES, LossContext
from cmcore.samplers import SAMPLERS, source_for, starting_noise
from cmcore.streams import stream
from cmcore.targets import BoxMixture, GaussianMixture
from cmcore.theory import bound_a, bound_b
from cmcore.training_defaults import resolved
from cmcore.training_run import TrainingRun
from tests.laws.every_target import TARGETS, draw
from tests.second_device import ELSEWHERE, MixedDevices, Stop, second_device

GAUSSIAN = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.4, 0.1], [0.1, 0.3]]], name="gaussian")
PAIR = GaussianMixture([1, 2], [[-1.0, 0.0], [1.0, 0.5]], 0.3, name="pair")
SMALL = {"trajectory_regression": {"trajectories": 200, "levels": 9}}


@pytest.fixture
def second():
    with second_device() as device:
        yield device


def network(dim=2, **choice):
    config = NetworkConfig(width=16, depth=2, **choice)
    return FlowMap(dim, config, generator=stream(0, "weights"))


@contextmanager
def counted(target):
    """How often the score, or the cdf, is asked for."""
    calls, law = [0], type(target.law)
    with pytest.MonkeyPatch.context() as patch:
        for law in {type(target.law), GaussianMixture, BoxMixture}:
            for method in ("score", "log_tails"):
                own = getattr(law, method)

                def ask(self, x, t, own=own):
                    calls[0] += 1
                    return own(self, x, t)

                patch.setattr(law, method, ask)
        yield calls


def agree(there, here, tolerance=1e-9):
    assert there.device == ELSEWHERE
    torch.testing.assert_close(there.cpu(), here, rtol=tolerance, atol=tolerance)


# ---- the device itself ------------------------------------------------------------------------------------------
def test_the_second_device_refuses_what_a_gpu_refuses(second):
    here, there = torch.ones(3), torch.ones(3, device=ELSEWHERE)
    for mixed in (
        lambda: here + there,
        lambda: torch.cat([there, here]),
        lambda: here[torch.zeros(2, dtype=torch.long, device=ELSEWHERE)],
        lambda: torch.randn(3, generator=torch.Generator(), device=ELSEWHERE),
        lambda: torch.randn(3, generator=second.generator()),
    ):
        with pytest.raises(MixedDevices):
            mixed()
    agree(there * torch.tensor(2.0), 2 * here)  # a single number may come along


@pytest.mark.parametrize(
    "stop",
    [
        lambda x: float(x[0]),
        lambda x: bool((x > 0).any()),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: x.tolist(),
        lambda x: torch.ones(3).to(x),
        lambda x: torch.as_tensor(0.5, device=x.device),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: torch.linalg.inv(torch.diag(x)),
    ],
)
def test_the_second_device_sees_what_stops_a_gpu(second, stop):
    x = torch.ones(3, device=ELSEWHERE)
    with second.without_a_stop(), pytest.raises(Stop):
        stop(x)
    stop(x)
    assert second.stops


def test_what_stops_no_gpu_is_let_through(second):
    x = torch.ones(3, device=ELSEWHERE)
    with second.without_a_stop():
        x[x > 2] = 0.0
        y = torch.where(x > 0, x.new_full((), 0.5), 1.0) + x[torch.arange(2, device=ELSEWHERE)].sum()
        y.square_().clamp(min=0.1)
    agree(y, torch.full((3,), 6.25))


# ---- targets ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", list(TARGETS))
def test_n10_a_target_answers_where_its_points_live_without_a_stop(second, name):
    target = TARGETS[name]
    here = draw(target, 40, t=0.3, seed=1)
    there = here.to(ELSEWHERE)
    asked = {"log_prob": here, "score": here, "posterior_mean": here}
    if hasattr(target.law, "responsibilities"):
        asked["responsibilities"] = here
    if target.dim == 1 and hasattr(type(target.law), "log_tails"):
        asked["log_tails"] = here[:, 0]
    for method, points in asked.items():
        ask = getattr(target.law if method in ("responsibilities", "log_tails") else target, method)
        on_device = there[:, 0] if points.ndim == 1 else there
        for t in (0.3, torch.linspace(0.1, 2.0, 40, dtype=torch.float64)):
            time = t.to(ELSEWHERE) if isinstance(t, torch.Tensor) else t
            ask(on_device[:1], time[:1] if isinstance(t, torch.Tensor) else t)  # copies the parameters, once
            with second.without_a_stop():
                found = ask(on_device, time)
            for a, b in zip(*((v,) if torch.is_tensor(v) else v for v in (found, ask(points, t))), strict=True):
                agree(a, b)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.has_density])
def test_a_density_at_time_zero_is_there_on_every_device(second, name):
    target = TARGETS[name]
    here = draw(target, 40, t=0.0, seed=1)
    there, t = here.to(ELSEWHERE), torch.linspace(0, 1, 40, dtype=torch.float64)
    target.log_prob(there)
    time = t.to(ELSEWHERE)
    with second.without_a_stop():
        at_zero, mixed = target.log_prob(there), target.log_prob(there, time)
    agree(at_zero, target.log_prob(here))
    agree(mixed, target.log_prob(here, t))


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_target_is_drawn_where_the_generator_lives(second, name):
    points = TARGETS[name].sample(20, generator=second.generator(), t=0.2)
    assert points.device == ELSEWHERE
    assert points.shape == (20, TARGETS[name].dim)


# ---- the flow ---------------------------------------------------------------------------------------------------
FLOWS = {
    "closed form (Gaussian)": GAUSSIAN,
    "quantile map": TARGETS["mixture on a line"],
    "coordinate-wise": TARGETS["rotated product"],
    "ODE solver": PAIR,
}


@pytest.mark.parametrize("method", list(FLOWS))
def test_the_flow_is_the_same_where_the_points_live(second, method):
    flow = ExactFlow(FLOWS[method], tolerance=1e-4)
    assert flow.method == method
    x = draw(flow.target, 6, t=1.0, seed=2)
    there = x.to(ELSEWHERE)
    agree(flow(there, 1.0, 0.3), flow(x, 1.0, 0.3))
    times = torch.tensor([1.0, 0.5, 0.3], dtype=torch.float64)
    agree(flow.path(there, times), flow.path(x, times))
    t, s = (torch.full((6,), u, dtype=torch.float64) for u in (1.0, 0.3))
    agree(flow.legs(there, t.to(ELSEWHERE), s.to(ELSEWHERE), 2), flow.legs(x, t, s, 2))


# A step of the adaptive solver, and one of Newton's on a cdf, look once at what all points came to, a few numbers each.
MOST_STOPS = {"closed form (Gaussian)": 0, "quantile map": 1, "coordinate-wise": 1, "ODE solver": 6}
"""Stops for each time that the score, or the cdf, is asked for."""


@pytest.mark.parametrize("method", list(FLOWS))
def test_a_flow_stops_no_more_often_for_many_points_than_for_few(second, method):
    flow, stops = ExactFlow(FLOWS[method], tolerance=1e-4), []
    points = draw(flow.target, 8, t=1.0, seed=2).to(ELSEWHERE)
    for n in (1, 20):
        flow(points[:1], 1.0, 0.3)  # copies the parameters, once
        second.stops.clear()
        with counted(flow.target) as calls:
            flow(points.repeat(n, 1), 1.0, 0.3)
        assert len(second.stops) <= MOST_STOPS[method] * calls[0]
        stops.append(len(second.stops))
    assert stops[0] == stops[1]


@pytest.mark.parametrize("target", [GAUSSIAN, PAIR], ids=lambda target: target.name)
def test_a_pool_is_the_same_wherever_it_is_made(second, target):
    stops = []
    for n in (40, 80):
        second.stops.clear()
        here, there = (
            trajectory_pool(target, n, horizon=1.0, delta=0.1, levels=3, generator=stream(0, "pool"), device=device)
            for device in ("cpu", ELSEWHERE)
        )
        stops.append(len(second.stops))
        agree(there.states, here.states, 1e-4)
        agree(there.stretch, here.stretch, 1e-2)
    assert stops[1] <= stops[0] + 10  # the trial of sub-steps may need one more


# ---- maps and samplers ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["trig", "linear"])
def test_a_map_jumps_without_a_stop(second, form):
    here = network(preconditioning=form)
    x = torch.randn(10, 2)
    expected = here(x, 2.0, 0.5)
    there = network(preconditioning=form).to(ELSEWHERE)
    on_device, t = x.to(ELSEWHERE), torch.linspace(1, 2, 10)
    time = t.to(ELSEWHERE)
    with second.without_a_stop():
        landed, one_each = there(on_device, 2.0, 0.5), there(on_device, time, time / 2)
        velocity = there.velocity(on_device, 0.5)
    agree(landed, expected, 1e-5)
    agree(one_each, here(x, t, t / 2), 1e-5)
    agree(velocity, here.velocity(x, 0.5), 1e-5)
    with pytest.raises(ValueError, match="s must not exceed t"):
        there(on_device, 0.5, 2.0)


@pytest.mark.parametrize("score", ["exact", "model"])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_sampler_draws_where_its_map_lives(second, name, score):
    sampler, grid = SAMPLERS[name], make_grid("uniform_angle", 3, horizon=2.0, delta=0.2)
    if sampler.needs == "map":
        here, there = network(), network().to(ELSEWHERE)
    elif score == "model":
        here, there = (source_for(m, sampler, "model") for m in (network(), network().to(ELSEWHERE)))
    else:
        here = there = source_for(PAIR, sampler)
    dtype = torch.float64 if score == "exact" and sampler.needs == "score" else torch.float32
    noise = starting_noise(20, 2, seed=1, dtype=dtype)
    on_device = noise.to(ELSEWHERE)
    if sampler.needs == "score" and score == "exact":
        PAIR.score(on_device, 0.3)  # copies the parameters, once
    drawn = []
    for source, points in ((here, noise), (there, on_device)):
        second.stops.clear()
        plan = sampler.plan(source, grid)  # a solver that chooses its steps tries them out, and looks
        planned = len(second.stops)
        assert not planned or name == "dopri5"
        drawn.append(sampler.draw(source, points, grid, generator=stream(1, "fresh")))
    # Fresh noise is the CPU's, so that it is the same on every device; nothing else stops a draw.
    assert len(second.stops) == 2 * planned + any(stage.spread > 0 for stage in plan.chain.stages)
    agree(drawn[1].states, drawn[0].states, 1e-3)


# ---- training ---------------------------------------------------------------------------------------------------
def run_of(name, monkeypatch, device, seeds=None):
    monkeypatch.setattr("cmcore.training_run.choose_device", lambda _: device)
    config = TrainingConfig(
        objective=name,
        objective_parameters=SMALL.get(name, {}),
        network=NetworkConfig(width=16, depth=2),
        steps=4,
        warmup=1,
        batch=32,
        threads=1,
        matmul_dtype="float32",
    )
    run = TrainingRun(GAUSSIAN, resolved(config, GAUSSIAN), seeds=seeds)
    list(run.prepare())
    run.take_step()  # draws the batches of a block
    return run


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_step_of_every_objective_is_the_same_and_stops_nothing(second, name, monkeypatch):
    here, there = (run_of(name, monkeypatch, device) for device in (torch.device("cpu"), ELSEWHERE))
    here.take_step()
    with second.without_a_stop():
        there.take_step()
    agree(there.optimizer.weights, here.optimizer.weights, 1e-3)
    agree(there.optimizer.average, here.optimizer.average, 1e-3)
    losses = []
    for run in (here, there):  # as the tape has it, where a step may do without one
        batch = next(run.batches)
        context = LossContext(run.flow_map, run.targets, run.velocities, run.earliest, 0.5)
        with second.without_a_stop():
            loss = run.objective.loss(context, batch)
            loss.sum().backward()
        losses.append(loss.detach())
    agree(losses[1], losses[0], 1e-3)
    agree(there.optimizer.gradients, here.optimizer.gradients, 1e-3)


def test_what_a_run_says_and_leaves_is_the_same_on_both_devices(second, monkeypatch):
    x, told, landed = starting_noise(5, 2, seed=0, dtype=torch.float32), [], []
    for device in (torch.device("cpu"), ELSEWHERE):
        run = run_of("lsd", monkeypatch, device)
        while not run.done:
            run.take_step()
        run.measure()
        run.report()
        run.check()
        (model,) = run.models("finished", 1.0)
        told.append(torch.tensor(model.history))
        assert told[-1].isfinite().all()
        landed.append(model.flow_map(x, 2.0, 0.5))
        assert all(part.device.type == "cpu" for part in model.resume_state.values())
    torch.testing.assert_close(told[1], told[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(landed[1], landed[0], rtol=1e-3, atol=1e-3)


def test_members_are_trained_where_they_live_without_a_stop(second, monkeypatch):
    here, there = (run_of("lsd", monkeypatch, device, seeds=(0, 1)) for device in (torch.device("cpu"), ELSEWHERE))
    here.take_step()
    with second.without_a_stop():
        there.take_step()
    agree(there.optimizer.weights, here.optimizer.weights, 1e-3)


def test_a_block_of_batches_stops_a_bounded_number_of_times(second, monkeypatch):
    """Random numbers are the CPU's, the same on every device: they are drawn and copied for many steps at once."""
    for name in OBJECTIVES:
        run = run_of(name, monkeypatch, ELSEWHERE)
        second.stops.clear()
        generator = stream(0, "batches")
        list(run.objective.batches(run.prepared[0], 64, 32, generator=generator))
        assert len(second.stops) <= 8, (name, second.stops)


# ---- what is measured -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dim", "sampler", "direction"),
    [
        (1, "deterministic", DATA_MODEL),
        (2, "deterministic", DATA_MODEL),
        (2, "renoise", MODEL_DATA),
    ],
)
def test_an_estimate_is_the_same_wherever_the_map_lives(second, dim, sampler, direction):
    target = PAIR if dim == 2 else TARGETS["mixture on a line"]
    grid = make_grid("uniform_angle", 1, horizon=2.0, delta=0.3)
    here, there = (
        kl(f, target, grid, sampler=sampler, direction=direction, seed=0, n=256)
        for f in (network(dim), network(dim).to(ELSEWHERE))
    )
    assert second.stops
    assert there.value == pytest.approx(here.value, rel=1e-6)


def test_bounds_are_the_same_wherever_the_map_lives(second):
    grid = make_grid("uniform_angle", 2, horizon=2.0, delta=0.3)
    found = []
    for f in (network(), network().to(ELSEWHERE)):
        at_most = bound_a(f, GAUSSIAN, grid, seed=0, n=128)
        of_paths = bound_b(f, GAUSSIAN, t=1.0, s=0.3, tau=0.3, seed=0, n=64, score="model")
        found.append((at_most.total.value, of_paths.total.value, of_paths.map_error.value))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


# ---- a GPU ------------------------------------------------------------------------------------------------------
@contextmanager
def stops_refused():
    """torch raises where the host would wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.parametrize("name", list(TARGETS))
def test_on_cuda_a_score_stops_nothing(name):
    target = TARGETS[name]
    x, t = draw(target, 40, t=0.3, seed=1).cuda(), torch.linspace(0.1, 2.0, 40, dtype=torch.float64).cuda()
    for time in (0.3, t):
        for ask in (target.log_prob, target.score):
            ask(x, time)
            with stops_refused():
                ask(x, time)


@pytest.mark.cuda
@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_on_cuda_a_step_stops_nothing(name, monkeypatch):
    run = run_of(name, monkeypatch, torch.device("cuda"))
    with stops_refused():
        run.take_step()


@pytest.mark.cuda
def test_on_cuda_a_jump_stops_nothing():
    f, x = network().cuda(), torch.randn(10, 2).cuda()
    f(x, 2.0, 0.5)
    with stops_refused():
        f(x, 2.0, 0.5)
