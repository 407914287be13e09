"""The whole flow of a 1-D run as one picture: the density over time, the exact paths, and the jumps of the model."""

import numpy as np
import torch
from torch import Tensor

import cmcore as cm
from app.components.flow_picture import FlowScene
from app.pages.inside.compute import angles_of
from app.runs.library import Run
from app.stage.scene import STEPS, extent_of, label_of
from cmcore.chain import Stage, land, like_map
from cmcore.config import USUAL_GRID
from cmcore.process import time_from_angle
from cmcore.samplers import DETERMINISTIC
from cmcore.sampling_defaults import sampling_defaults

LEVELS = 97
ACROSS = 241
REACH = 4.0
"""Starts of paths lie within ± this many standard deviations of the noise."""
EVEN = 161
PIXEL_TIME = 1e-4
SHOWN = 17


def flow_scene(run: Run) -> FlowScene:
    """Everything the picture draws of a run with d = 1.

    The paths start at an even lattice of noise and at the noise of an even lattice of data, so that both ends are
    resolved: where the flow pulls neighbours apart, the lattice of data has paths in between.
    """
    target, model = run.target, run.model
    extent = extent_of(target)
    times = _levels(model.horizon, model.delta)
    flow = cm.ExactFlow(target)
    starts = _starts(flow, model.horizon, model.delta, extent)
    axis = torch.linspace(-extent, extent, ACROSS, dtype=torch.float64)
    single = sampling_defaults(model.config).single_time
    grids = {
        n: cm.make_grid(USUAL_GRID, n, horizon=model.horizon, delta=model.delta)
        for n in (STEPS[:1] if single else STEPS)
    }
    dtype, device = like_map(model.flow_map)
    unused = torch.Generator()
    draws = {
        n: DETERMINISTIC.draw(model.flow_map, starts.to(device, dtype), grid, generator=unused)
        for n, grid in grids.items()
    }
    paths = flow.path(starts, starts.new_tensor(times))
    ends = paths[-1]
    gaps = {n: float((draw.points.double().cpu() - ends).abs().median()) for n, draw in draws.items()}
    listed = ", ".join(f"{gap:.3f} in {n} jump{'s' if n > 1 else ''}" for n, gap in gaps.items())
    return FlowScene(
        key=run.key,
        extent=extent,
        times=times,
        angles=angles_of(times),
        density=_density(target, axis, times),
        paths=paths[..., 0].numpy(),
        landings=np.stack([_landings(model, axis, t) for t in times]),
        grids={n: grid.times for n, grid in grids.items()},
        states={n: draw.states[..., 0].double().cpu().numpy() for n, draw in draws.items()},
        shown=tuple(_shown(starts[:, 0])),
        summary=(
            f"{label_of(target).capitalize()}: the density from noise at T = {model.horizon:g} on the left to data at "
            f"δ = {model.delta:g} on the right, exact paths, and the model’s jumps from the same noise. "
            f"Half of these paths end further than this from the exact end: {listed}."
        ),
    )


def _levels(horizon: float, delta: float) -> tuple[float, ...]:
    late, early = angles_of((horizon, delta))
    angles = torch.linspace(late, early, LEVELS, dtype=torch.float64)
    return (horizon, *time_from_angle(angles[1:-1]).tolist(), delta)


def _starts(flow: cm.ExactFlow, horizon: float, delta: float, extent: float) -> Tensor:
    """Noise in increasing order, [m, 1]."""
    noise = torch.linspace(-REACH, REACH, EVEN, dtype=torch.float64)
    data = torch.linspace(-extent, extent, ACROSS, dtype=torch.float64)
    back = flow(data[:, None], max(delta, PIXEL_TIME), horizon)[:, 0]
    return torch.cat([noise, back[back.abs() < REACH]]).unique()[:, None]


def _density(target: cm.Target, axis: Tensor, times: tuple[float, ...]) -> np.ndarray:
    """Opacity of p_t, uint8, [x downwards, t from T to δ]: its square root, since data is far denser than noise."""
    columns = [target.log_prob(axis[:, None], max(t, PIXEL_TIME)).exp() for t in times]
    density = torch.stack(columns, dim=1).flip(0)
    return (150 * (density / density.max()).sqrt()).round().numpy().astype(np.uint8)


def _landings(model: cm.TrainedModel, axis: Tensor, t: float) -> np.ndarray:
    """Where one jump from (x, t) to δ lands."""
    dtype, device = like_map(model.flow_map)
    if t == model.delta:
        return axis.numpy()
    x = axis[:, None].to(device, dtype)
    return land(model.flow_map, x, Stage(t, model.delta))[:, 0].double().cpu().numpy()


def _shown(starts: Tensor) -> list[int]:
    """The starts nearest to even quantiles of the noise."""
    wanted = torch.special.ndtri((torch.arange(SHOWN, dtype=torch.float64) + 0.5) / SHOWN)
    return [int((starts - z).abs().argmin()) for z in wanted]
