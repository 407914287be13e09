"""A start of one's own: a point of noise that a person puts on the stage, and where every N takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import cmcore as cm
from app.components.particle_stage import Draw, Scene
from app.stage.scene import DRAWN, Grids, legs_of, path_of, plane, shown_draw
from cmcore.chain import earliest_of, like_map
from cmcore.config import SamplerConfig
from cmcore.samplers import SAMPLERS
from cmcore.streams import stream

FURTHEST = 50.0
"""A start lies within ± this in each coordinate; all that N(0, I) gives lies far inside."""

Start = tuple[float, float]


@dataclass(frozen=True)
class OwnPaths:
    """Where one particle goes: a draw for every N and, beside deterministic jumps, the exact path, [L, 1, 2]."""

    start: Start
    draws: Mapping[int, Draw]
    exact: np.ndarray | None


def checked_start(at: object) -> Start | None:
    """A start from the stage, [x, y]; None for anything else."""
    match at:
        case [int() | float() as x, int() | float() as y] if abs(x) <= FURTHEST and abs(y) <= FURTHEST:
            return round(float(x), 3), round(float(y), 3)
    return None


def read_start(text: str) -> Start:
    """The start that a link asks for, "x,y"."""
    try:
        start = checked_start([float(part) for part in text.split(",")])
    except ValueError:
        start = None
    if start is None:
        raise ValueError(f"it asks for the start “{text[:40]}”, and a start is x,y within ±{FURTHEST:g}")
    return start


def write_start(start: Start) -> str:
    """The start for a link."""
    return ",".join(f"{v:g}" for v in start)


def own_paths(
    model: object,
    target: cm.Target,
    *,
    config: SamplerConfig,
    grids: Grids,
    start: Start,
    seed: int,
    release: int = 0,
) -> OwnPaths:
    """The jumps of every N and the exact flow, all from the same point of noise; d = 2.

    Args:
        release: numbers the fresh noise of renoised draws, which is the same for every N.
    """
    dtype, device = like_map(getattr(model, "flow_map", model))
    noise = torch.tensor([start], dtype=dtype, device=device)
    flow = cm.ExactFlow(target, tolerance=DRAWN)
    exact = path_of(flow, noise.double().cpu(), config) if config.sampler == "deterministic" else None
    drawn = {}
    for n, grid in grids.items():
        fresh = stream(seed, f"fresh noise of an own start, release {release}")
        choices: dict[str, Any] = {"renoise": config.renoise, "earliest": earliest_of(model), "generator": fresh}
        drawn[n] = SAMPLERS[config.sampler].draw(model, noise, grid, **choices)
    legs = {} if exact is not None else legs_of(drawn, flow)
    draws = {n: shown_draw(draw, exact, target, legs.get(n)) for n, draw in drawn.items()}
    return OwnPaths(start, draws, None if exact is None else plane(exact))


def with_start(scene: Scene, own: OwnPaths) -> Scene:
    """The scene with that particle as the last of those that are followed."""
    at = scene.followed
    draws = {n: _joined(draw, own.draws[n], at, own) for n, draw in scene.draws.items()}
    exact = None if scene.exact is None else _insert(scene.exact, own.exact, at)
    layers = scene.layers
    if layers is not None:  # its colour is that of q = p: what is shown of it is its path
        layers = replace(layers, log_ratios={n: np.insert(r, at, 0.0) for n, r in layers.log_ratios.items()})
    return replace(scene, draws=draws, exact=exact, layers=layers, start=own.start)


def _joined(draw: Draw, one: Draw, at: int, own: OwnPaths) -> Draw:
    """Where the browser draws, only what the draw is compared with."""
    legs = None if draw.legs is None else _insert(draw.legs, one.legs, at)
    if draw.states is None:
        return replace(draw, legs=legs)
    landings = None if draw.landings is None else _insert(draw.landings, one.landings, at)
    summary = f"{draw.summary} {_in_words(one, own)}"
    return replace(draw, states=_insert(draw.states, one.states, at), landings=landings, legs=legs, summary=summary)


def _insert(many: np.ndarray, one: np.ndarray | None, at: int) -> np.ndarray:
    """`one` among the particles of `many`; particles are the last axis but one."""
    assert one is not None  # both are deterministic draws, or both renoised
    return np.concatenate([many[..., :at, :], one, many[..., at:, :]], axis=-2, dtype=many.dtype)


def _in_words(one: Draw, own: OwnPaths) -> str:
    x, y = own.start
    assert one.states is not None  # a draw of this file
    end = one.states[-1, 0]
    words = f"Your start ({x:g}, {y:g}) ends at ({end[0]:.2f}, {end[1]:.2f})"
    if own.exact is None:
        return f"{words}."
    return f"{words}, {float(np.linalg.norm(end - own.exact[-1, 0])):.3f} from the exact flow's end."
