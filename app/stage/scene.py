"""What the stage shows of a run: draws for every N from the same noise, and the exact flow beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

import cmcore as cm
from app.components.particle_stage import Draw, MapLayers, Scene
from cmcore.chain import JumpMap, jump_map_of, like_map
from cmcore.config import SamplerConfig
from cmcore.divergences.tools.push_forward import push_forward
from cmcore.flow import velocity_in_angle
from cmcore.process import angle
from cmcore.samplers import DETERMINISTIC, starting_noise
from cmcore.streams import stream

STEPS = (1, 2, 4, 8, 16)
PARTICLES = 2_000
FOLLOWED = 160
SHOWN = 14
PATH_LEVELS = 32
LEG_LEVELS = 6
MESH_SIDE = 33
MESH_REACH = 3.2
"""The mesh of noise covers ±3.2 standard deviations: all but 0.3 % of the noise."""
DEPOSIT_SIDE = 71
DEPOSIT_PIXELS = 96
FIELD_SIDE = 17
FIELD_LEVELS = 13
_LEAST_ANGLE = 0.03
_GOLDEN = (5**0.5 - 1) / 2
_PIXEL_TIME = 1e-4
DRAWN = 1e-4
"""Local error of the exact paths, a hundredth of a pixel. Numbers are computed elsewhere, to far smaller tolerances."""
PIXELS = 360
BANDS = {0.95: 26, 0.8: 34, 0.5: 44}
"""The density is drawn as bands that hold these shares of the data; each adds its opacity, of 255, to those around."""


Grids = Mapping[int, cm.TimeGrid]
"""The times, by N."""


class Mapped(Protocol):
    """What a scene is made of: a target, and a map from noise to it, learned or not; `key` names the two in caches."""

    @property
    def key(self) -> str: ...

    @property
    def model(self) -> object: ...

    @property
    def target(self) -> cm.Target: ...


def grids_of(config: SamplerConfig, moved: Mapping[int, Sequence[float]] | None = None) -> Grids:
    """For every N the times t_1 > … > t_{N−1} that were moved, or else the named grid; T and δ stay."""
    moved = moved or {}
    named = {
        n: cm.make_grid(config.grid, n, horizon=config.horizon, delta=config.delta) for n in STEPS if n not in moved
    }
    return named | {n: cm.TimeGrid((config.horizon, *times, config.delta)) for n, times in moved.items()}


def make_scene(
    model: object,
    target: cm.Target,
    *,
    key: str,
    config: SamplerConfig,
    seed: int,
    grids: Grids | None = None,
    particles: int = PARTICLES,
    density: np.ndarray | None = None,
    exact: Tensor | None = None,
    in_browser: bool = False,
    learned: bool = True,
) -> Scene:
    """The scene of `model` (a trained model or any jump map) against `target`, in the first two coordinates.

    Every draw starts from the same noise. Deterministic jumps are compared with the exact path from that noise; a
    renoised draw takes fresh noise on the way, so there each jump is compared with the exact jump from where it began.
    `grids` are the times by N; by default those that `config` names. `density` is :func:`density_image` at δ, and
    `exact` what :func:`exact_paths` answers, where they are there already. Where the browser draws, the draws have no
    states, and there is only what they are compared with; where it draws from weights that are not `learned` yet, no
    jump is compared, since the next weights jump elsewhere.
    """
    grids = grids or grids_of(config)
    renoised = config.sampler != "deterministic"
    if exact is None and not renoised:
        exact = exact_paths(model, target, config, seed=seed, particles=particles)
    drawn = min(particles, SHOWN) if in_browser else particles
    sampled = learned and renoised if in_browser else True
    draws = _draws(model, target, config, grids, seed=seed, particles=drawn) if sampled else {}
    legs = legs_of(draws, cm.ExactFlow(target, tolerance=DRAWN)) if renoised and draws else {}
    start, end = _angles(target, (config.horizon, config.delta))
    return Scene(
        key=key,
        extent=extent_of(target),
        angles=(start, end),
        draws={n: _undrawn(grid, target, legs.get(n)) for n, grid in grids.items()}
        if in_browser
        else {n: shown_draw(draw, exact, target, legs.get(n)) for n, draw in draws.items()},
        exact=None if exact is None else plane(exact),
        density=density_image(target, config.delta) if density is None else density,
        shown=SHOWN,
        field=_field(target, start, end) if target.dim == 2 else None,
    )


def _draws(
    model: object, target: cm.Target, config: SamplerConfig, grids: Grids, *, seed: int, particles: int
) -> dict[int, cm.Trajectory]:
    choices: dict[str, Any] = {"sampler": config.sampler, "renoise": config.renoise, "dim": target.dim}
    return {n: cm.sample(model, particles, n, seed=seed, grid=grids[n], **choices) for n in sorted(grids)}


def map_layers(
    model: object,
    target: cm.Target,
    *,
    config: SamplerConfig,
    seed: int,
    grids: Grids | None = None,
    particles: int = PARTICLES,
) -> MapLayers | None:
    """What the scene's jumps do to the plane; None where fresh noise or another dimension leaves nothing to show.

    It takes about three times as long as the scene itself, and is made in the background.
    """
    if config.sampler != "deterministic" or target.dim != 2:
        return None
    grids = grids or grids_of(config)
    ends = _distinct_ends(model, grids)
    draws = _draws(model, target, config, ends, seed=seed, particles=particles)
    log_ratios, densities = _log_ratios(model, target, draws), _model_densities(model, ends, extent_of(target))
    return MapLayers(
        reach=MESH_REACH,
        meshes=_meshes(model, grids),
        log_ratios={n: log_ratios.get(n, log_ratios[min(ends)]) for n in grids},
        densities={n: densities.get(n, densities[min(ends)]) for n in grids},
    )


def _distinct_ends(model: object, grids: Grids) -> Grids:
    """The grids by which the map ends at different points: by all of them the exact flow ends at the same, so one."""
    least = min(grids)
    return {least: grids[least]} if isinstance(jump_map_of(model), cm.ExactFlow) else grids


def _square(side: int, f: JumpMap) -> Tensor:
    """An even mesh of noise over ±MESH_REACH, rows along the second coordinate, [side², 2]."""
    dtype, device = like_map(f)
    axis = torch.linspace(-MESH_REACH, MESH_REACH, side, dtype=dtype, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def _meshes(model: object, grids: Grids) -> dict[int, np.ndarray]:
    """Where an even mesh of noise is at the times of each grid, [N + 1, side, side, 2]."""
    f = jump_map_of(model)
    noise, unused = _square(MESH_SIDE, f), torch.Generator()
    drawn = {n: DETERMINISTIC.draw(f, noise, grid, generator=unused).states for n, grid in grids.items()}
    return {n: states.cpu().numpy().reshape(-1, MESH_SIDE, MESH_SIDE, 2) for n, states in drawn.items()}


def _log_ratios(model: object, target: cm.Target, draws: Mapping[int, cm.Trajectory]) -> dict[int, np.ndarray]:
    """log q/p_δ at every particle, from the Jacobians of the jumps; on a fold, q of the particle's own layer."""
    f = jump_map_of(model)
    ratios = {}
    for n, draw in draws.items():
        branch = push_forward(f, draw.states[0], draw.grid)
        t = draw.delta if draw.delta > 0 or target.has_density else _PIXEL_TIME
        points = branch.points.double().cpu()
        ratios[n] = (branch.log_density.double().cpu() - target.log_prob(points, t)).numpy()
    return ratios


def _model_densities(model: object, grids: Grids, extent: float) -> dict[int, np.ndarray]:
    """Opacity of q where the jumps end: the noise of a fine mesh, counted where it lands, blurred by a pixel or two."""
    from scipy.ndimage import gaussian_filter

    f = jump_map_of(model)
    noise, unused = _square(DEPOSIT_SIDE, f), torch.Generator()
    weight = (-noise.double().square().sum(1) / 2).exp().cpu().numpy()
    bands = {}
    for n, grid in grids.items():
        x, y = DETERMINISTIC.draw(f, noise, grid, generator=unused).points.double().cpu().numpy().T
        mass, *_ = np.histogram2d(y, x, bins=DEPOSIT_PIXELS, range=[[-extent, extent]] * 2, weights=weight)
        bands[n] = _bands(gaussian_filter(mass[::-1], sigma=1.2))
    return bands


def _field(target: cm.Target, start: float, end: float) -> np.ndarray:
    """dx/dθ of the exact flow on an even grid of the square shown, at even angles, [levels, side, side, 2]."""
    extent = extent_of(target)
    axis = (np.arange(FIELD_SIDE) + 0.5) * (2 * extent / FIELD_SIDE) - extent
    x, y = np.meshgrid(axis, axis)
    points = target.mean.new_tensor(np.stack([x, y], axis=-1).reshape(-1, 2))
    # At θ = 0 a law without a density has no score, and any other no velocity: the last level stands just before.
    angles = np.maximum(np.linspace(start, end, FIELD_LEVELS), _LEAST_ANGLE)
    levels = [velocity_in_angle(target, points, theta) for theta in angles]
    return torch.stack(levels).view(FIELD_LEVELS, FIELD_SIDE, FIELD_SIDE, 2).numpy()


def exact_paths(model: object, target: cm.Target, config: SamplerConfig, *, seed: int, particles: int) -> Tensor:
    """The exact paths of the first particles, from where every draw of that seed starts, [L, n, d]."""
    dtype, _ = like_map(jump_map_of(model))
    noise = starting_noise(min(particles, FOLLOWED), target.dim, seed=seed, dtype=dtype)
    return path_of(cm.ExactFlow(target, tolerance=DRAWN), noise.double(), config)


def _undrawn(grid: cm.TimeGrid, target: cm.Target, legs: np.ndarray | None) -> Draw:
    """A draw that the browser makes."""
    return Draw(grid.times, _progress(target, grid), None, None, legs, "")


def _progress(target: cm.Target, grid: cm.TimeGrid) -> tuple[float, ...]:
    first, *_, last = theta = _angles(target, grid.times)
    return tuple((first - now) / (first - last) for now in theta)


def shown_draw(draw: cm.Trajectory, exact: Tensor | None, target: cm.Target, legs: np.ndarray | None = None) -> Draw:
    """A draw beside the exact paths of its first particles, [L, m, d], or beside the exact `legs` of its jumps."""
    jumps = "1 jump" if draw.grid.steps == 1 else f"{draw.grid.steps} jumps"
    words = f"{draw.states.shape[1]:,} particles travel from noise to {label_of(target)} in {jumps}"
    if exact is not None:
        gap = (draw.points[: exact.shape[1]].double() - exact[-1]).norm(dim=1)
        words += f"; from the same noise, half of them end within {float(gap.median()):.3f} of the exact flow's end"
    else:
        words += ", with fresh noise after each"
    return Draw(
        times=draw.grid.times,
        progress=_progress(target, draw.grid),
        states=plane(draw.states),
        landings=None if legs is None else plane(draw.landings),
        legs=legs,
        summary=words + ".",
    )


def legs_of(draws: Mapping[int, cm.Trajectory], flow: cm.ExactFlow) -> dict[int, np.ndarray]:
    """By N, the exact flow of every jump from where the model's chain stood when it jumped, [N, l, m, 2].

    All jumps of all draws are solved at once: one by one they would take most of the time that a new η takes.
    """
    starts = [draw.states[:-1, :SHOWN].double() for draw in draws.values()]
    shown = starts[0].shape[1]
    ways = starts[0].new_tensor([(stage.t, stage.s) for draw in draws.values() for stage in draw.chain.stages])
    t, s = ways.repeat_interleave(shown, dim=0).T
    solved = flow.legs(torch.cat([x.flatten(0, 1) for x in starts]), t, s, LEG_LEVELS)
    jumps = solved.unflatten(1, (-1, shown)).transpose(0, 1).split([len(x) for x in starts])
    return {n: plane(legs) for n, legs in zip(draws, jumps, strict=True)}


def path_of(flow: cm.ExactFlow, noise: Tensor, config: SamplerConfig) -> Tensor:
    """The exact path of each noise from T to δ, as the stage draws it, [L, n, d]."""
    return _exact_path(flow, noise, config.horizon, config.delta, PATH_LEVELS)


def _exact_path(flow: cm.ExactFlow, x: Tensor, start: float, end: float, levels: int) -> Tensor:
    """Φ along times evenly spaced in θ, both ends included, [levels + 1, n, d]."""
    grid = cm.make_grid("uniform_angle", levels, horizon=start, delta=end)
    return flow.path(x, x.new_tensor(grid.times))


def _angles(target: cm.Target, times: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(angle(target.mean.new_tensor(times)).tolist())


def label_of(target: cm.Target) -> str:
    """The target's name in words."""
    return target.name.replace("_", " ")


def extent_of(target: cm.Target) -> float:
    """Half the side of a square around the origin that holds the data and the bulk of the noise."""
    return extent_around(shown_samples(target, 4_000))


def extent_around(points: np.ndarray) -> float:
    """The same for points of the data, [n, k]."""
    reach = np.abs(points).max(axis=1)
    return 1.08 * max(2.7, float(np.quantile(reach, 0.999)))


def shown_samples(target: cm.Target, n: int) -> np.ndarray:
    """n draws of the data for pictures, first two coordinates, [n, 2]."""
    return plane(target.sample(n, generator=stream(0, "pictures")))


def density_image(target: cm.Target, delta: float, *, extent: float | None = None, pixels: int = PIXELS) -> np.ndarray:
    """Opacity of p_δ over a square of half side `extent`, by default :func:`extent_of`; uint8, top row first.

    A law without a density at δ is drawn with the blur of a pixel. In d ≠ 2 the first two coordinates are drawn from
    samples.
    """
    extent = extent_of(target) if extent is None else extent
    if target.dim != 2:
        return histogram_image(shown_samples(target, 100_000), extent)
    return _bands(_density(target, delta, extent, pixels))


def _density(target: cm.Target, delta: float, extent: float, pixels: int) -> np.ndarray:
    pixel = 2 * extent / pixels
    axis = np.arange(pixels) * pixel - extent + pixel / 2
    x, y = np.meshgrid(axis, axis[::-1])
    centres = target.mean.new_tensor(np.stack([x, y], axis=-1).reshape(-1, 2))
    log_density = target.log_prob(centres, max(delta, pixel**2 / 2))  # near 0 the noise level at time t is √(2t)
    return (log_density - log_density.max()).exp().reshape(pixels, pixels).numpy()


def histogram_image(points: np.ndarray, extent: float) -> np.ndarray:
    """The same from points [n, 2], counted and blurred."""
    from scipy.ndimage import gaussian_filter

    counts, *_ = np.histogram2d(points[:, 1], points[:, 0], bins=PIXELS, range=[[-extent, extent]] * 2)
    return _bands(gaussian_filter(counts[::-1], sigma=4))


def _bands(density: np.ndarray) -> np.ndarray:
    """Opacity by highest-density regions: the smallest areas that hold given shares of the mass."""
    falling = np.sort(density, axis=None)[::-1]
    mass_above = np.cumsum(falling) / falling.sum()
    opacity = np.zeros(density.shape)
    for share, step in BANDS.items():
        opacity += step * (density >= falling[np.searchsorted(mass_above, share)])
    return opacity.astype(np.uint8)


def plane(states: Tensor) -> np.ndarray:
    """The first two coordinates; points on a line are spread out vertically so that they can be told apart."""
    flat = states.detach().cpu().numpy()
    if flat.shape[-1] == 1:
        spread = 2 * ((np.arange(flat.shape[-2])[:, None] + 0.5) * _GOLDEN % 1) - 1  # as the browser does it
        flat = np.concatenate([flat, np.broadcast_to(spread, flat.shape)], axis=-1)
    return flat[..., :2]
