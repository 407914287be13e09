"""What the stage shows of a run: draws for every N from the same noise, and the exact paths beside them."""

import math

import numpy as np
import torch
from torch import Tensor

import cmcore as cm
from app.components.particle_stage import Draw, Scene
from cmcore.config import SamplerConfig
from cmcore.process import angle, time_from_angle
from cmcore.targets import Target

__all__ = ["STEPS", "density_image", "extent_of", "make_scene", "plane"]

STEPS = (1, 2, 4, 8, 16)
PARTICLES = 2_000
FOLLOWED = 160
SHOWN = 14
PATH_LEVELS = 49
_PIXELS = 360
BANDS = {0.95: 26, 0.8: 34, 0.5: 44}
"""The density is drawn as bands that hold these shares of the data; each adds its opacity, of 255, to those around."""


def make_scene(model: object, target: Target, *, key: str, config: SamplerConfig, seed: int) -> Scene:
    """The scene of `model` (a trained model or any jump map) against `target`, in the first two coordinates.

    Every draw starts from the same noise. Deterministic jumps are compared with the exact path from that noise; a
    renoised draw takes fresh noise on the way, so there each jump is compared with the exact jump from where it began.
    """
    draws = {
        n: cm.sample(model, PARTICLES, n, seed=seed, dim=target.dim, **config.model_dump(exclude={"steps"}))
        for n in STEPS
    }
    ends = angle(torch.tensor([config.horizon, config.delta], dtype=torch.float64))
    noise = draws[STEPS[0]].states[0, :FOLLOWED].double()
    times = time_from_angle(torch.linspace(*ends.tolist(), PATH_LEVELS, dtype=torch.float64))
    times[0], times[-1] = config.horizon, config.delta
    exact = cm.ExactFlow(target, tolerance=1e-6).path(noise, times) if config.sampler == "deterministic" else None
    return Scene(
        key=key,
        extent=extent_of(target),
        angles=(float(ends[0]), float(ends[1])),
        draws={n: _shown(draw, ends, exact, target) for n, draw in draws.items()},
        exact=None if exact is None else plane(exact),
        density=density_image(target, config.delta),
        shown=SHOWN,
    )


def _shown(draw: cm.Trajectory, ends: Tensor, exact: Tensor | None, target: Target) -> Draw:
    theta = angle(torch.tensor(draw.grid.times, dtype=torch.float64))
    progress = ((theta - ends[0]) / (ends[1] - ends[0])).tolist()
    noisy = not torch.equal(draw.landings, draw.states[1:])
    steps = draw.grid.steps
    jumps = "1 jump" if steps == 1 else f"{steps} jumps"
    words = f"{draw.states.shape[1]:,} particles travel from noise to {label_of(target)} in {jumps}"
    if exact is not None:
        gap = (draw.points[: exact.shape[1]].double() - exact[-1]).norm(dim=1)
        words += f"; from the same noise, half of them end within {float(gap.median()):.3f} of the exact flow's end"
    elif noisy:
        words += ", with fresh noise after each"
    return Draw(
        times=draw.grid.times,
        progress=tuple(progress),
        states=plane(draw.states),
        landings=plane(draw.landings) if noisy else None,
        summary=words + ".",
    )


def label_of(target: Target) -> str:
    """The target's name in words."""
    return target.name.replace("_", " ")


def extent_of(target: Target) -> float:
    """Half the side of a square around the origin that holds the data and the bulk of the noise."""
    data = target.sample(4_000, generator=torch.Generator().manual_seed(0))[:, :2].abs().amax(dim=1)
    return 1.08 * max(2.7, float(data.quantile(0.999)))


def density_image(target: Target, delta: float) -> np.ndarray:
    """Opacity of p_δ over the square of :func:`extent_of`, uint8, top row first.

    A law without a density at δ is drawn with the blur of one pixel. In d ≠ 2 the first two coordinates are drawn from
    samples.
    """
    extent = extent_of(target)
    pixel = 2 * extent / _PIXELS
    axis = torch.linspace(-extent + pixel / 2, extent - pixel / 2, _PIXELS, dtype=torch.float64)
    if target.dim == 2:
        blur = max(delta, 0.5 * math.log1p(pixel**2))  # the time at which σ/α is one pixel
        y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
        log_density = target.log_prob(torch.stack([x, y], dim=-1).reshape(-1, 2), blur)
        density = (log_density - log_density.max()).exp().reshape(_PIXELS, _PIXELS).numpy()
    else:
        density = _histogram(target, extent)
    return _bands(density)


def _bands(density: np.ndarray) -> np.ndarray:
    """Opacity by highest-density regions: the smallest areas that hold given shares of the mass."""
    falling = np.sort(density, axis=None)[::-1]
    held = np.cumsum(falling) / falling.sum()
    opacity = np.zeros(density.shape)
    for share, step in BANDS.items():
        opacity += step * (density >= falling[np.searchsorted(held, share)])
    return opacity.astype(np.uint8)


def _histogram(target: Target, extent: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    points = plane(target.sample(200_000, generator=torch.Generator().manual_seed(0))[None])[0]
    counts, *_ = np.histogram2d(points[:, 1], points[:, 0], bins=_PIXELS, range=[[-extent, extent]] * 2)
    smooth = gaussian_filter(counts[::-1], sigma=1.5)
    return smooth / smooth.max()


def plane(states: Tensor) -> np.ndarray:
    """The first two coordinates; a line is spread out vertically so that its points can be told apart."""
    if states.shape[-1] == 1:
        spread = torch.linspace(-1, 1, states.shape[-2], dtype=states.dtype)[
            torch.randperm(states.shape[-2], generator=torch.Generator().manual_seed(0))
        ]
        states = torch.cat([states, spread[:, None].expand_as(states)], dim=-1)
    return states[..., :2].detach().cpu().numpy()
