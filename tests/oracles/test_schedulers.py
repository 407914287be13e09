"""Whole trajectories against the schedulers of diffusers, a public implementation, fed with our times and our score."""

import importlib

import pytest
import torch

from cmcore.grids import TimeGrid, make_grid
from cmcore.process import alpha, sigma
from cmcore.samplers import SAMPLERS, starting_noise
from cmcore.samplers.scores import posterior_mean
from cmcore.targets import make_target

TARGET = make_target("eight_gaussians")
GRID = make_grid("uniform_angle", 12, horizon=3.0, delta=0.05)
LEVELS = GRID.steps + 1
"""Their time i is our time t_{K−i}: as many training times as the grid has, the last of which is never left."""
DPM = {"final_sigmas_type": "sigma_min", "lower_order_final": False, "solver_type": "midpoint"}


@pytest.fixture(scope="module")
def diffusers():
    """Imported here and not by every worker that collects the tests: it takes a second."""
    return importlib.import_module("diffusers")


def table(grid: TimeGrid) -> dict:
    """Their table of noise: β_i such that the products of 1 − β up to i are α² of our times."""
    signal = alpha(torch.tensor(grid.times[::-1], dtype=torch.float64)) ** 2
    betas = 1 - signal / torch.cat([torch.ones(1), signal[:-1]])
    return {"num_train_timesteps": LEVELS, "trained_betas": betas.numpy(), "prediction_type": "sample"}


def followed(scheduler, noise: torch.Tensor) -> torch.Tensor:
    """The states of their sampler at our times."""
    states = [noise]
    for i in range(GRID.steps, 0, -1):
        clean = posterior_mean(TARGET.score, states[-1], GRID.times[GRID.steps - i])
        states.append(scheduler.step(clean, i, states[-1]).prev_sample)
    return torch.stack(states)


def ours(name: str, noise: torch.Tensor) -> torch.Tensor:
    return SAMPLERS[name].draw(TARGET.score, noise, GRID, generator=torch.Generator()).states


def assert_same(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    """Their tables are float32, and a trajectory near a boundary between modes magnifies that; most are not."""
    assert float((mine - theirs).abs().quantile(0.95)) < 1e-5


def test_ddim_is_theirs(diffusers):
    noise = starting_noise(100, 2, seed=1)
    scheduler = diffusers.DDIMScheduler(**table(GRID), clip_sample=False)
    scheduler.set_timesteps(LEVELS)
    assert_same(ours("ddim", noise), followed(scheduler, noise))


def test_ddpm_is_theirs(diffusers, monkeypatch):
    """Their steps, given the fresh noise of ours."""
    noise = starting_noise(100, 2, seed=2)
    mine = SAMPLERS["ddpm"].draw(TARGET.score, noise, GRID, generator=torch.Generator().manual_seed(3))
    fresh = zip(mine.states[1:], mine.landings, mine.chain.stages, strict=True)
    drawn = iter([(x - landing) / stage.spread for x, landing, stage in fresh])
    monkeypatch.setattr(f"{diffusers.DDPMScheduler.__module__}.randn_tensor", lambda *_, **__: next(drawn))
    scheduler = diffusers.DDPMScheduler(**table(GRID), clip_sample=False, variance_type="fixed_small")
    scheduler.set_timesteps(LEVELS)
    assert_same(mine.states, followed(scheduler, noise))


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm++2m", 2), ("dpm++3m", 3)])
def test_dpm_solver_is_theirs(diffusers, name, order):
    noise = starting_noise(100, 2, seed=4)
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **table(GRID), **DPM, solver_order=order, algorithm_type="dpmsolver++"
    )
    scheduler.set_timesteps(timesteps=list(range(GRID.steps, 0, -1)))
    assert_same(ours(name, noise), followed(scheduler, noise))


def test_their_noise_levels_are_ours(diffusers):
    scheduler = diffusers.DDIMScheduler(**table(GRID))
    times = torch.tensor(GRID.times[::-1], dtype=torch.float64)
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), 1 - sigma(times) ** 2, rtol=1e-5, atol=0)
