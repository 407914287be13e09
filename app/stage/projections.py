"""Which plane of a d-dimensional space a picture shows, or for d = 3 the space itself."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import cmcore as cm
from app.stage.scene import plane

TURNING, PRINCIPAL = "turn", "principal"
_LOWER = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Projection:
    """A way to look at points of R^d.

    Attributes:
        view: its name in links and caches.
        axes: what the axes of the picture are called; none where they have no name of their own.
        apply: points [n, d] → [n, 2], or [n, 3] for the space that turns.
    """

    view: str
    axes: tuple[str, ...]
    apply: Callable[[np.ndarray], np.ndarray]


def views(dim: int) -> list[str]:
    """The views there are of R^dim, the one to begin with first; none where there is nothing to choose."""
    if dim <= 2:
        return []
    pairs = [f"{i},{j}" for i in range(1, dim + 1) for j in range(i + 1, dim + 1)]
    return [TURNING, PRINCIPAL, *pairs] if dim == 3 else [PRINCIPAL, *pairs]


def read_view(text: str) -> str:
    """A view as a link writes it; whether the target has it is seen when it is shown."""
    i, _, j = text.partition(",")
    pair = i.isascii() and j.isascii() and i.isdigit() and j.isdigit() and len(text) <= 5 and 0 < int(i) < int(j)
    if text not in (TURNING, PRINCIPAL) and not pair:
        raise ValueError(
            f"it asks for the view “{text[:20]}”, and there is {TURNING}, {PRINCIPAL}, or two coordinates i,j"
        )
    return text


def projection_of(target: cm.Target, view: str | None) -> Projection:
    """The view of that name, or the first one there is."""
    offered = views(target.dim)
    names = column_names(target)
    if not offered:
        return Projection("", names, lambda points: plane(torch.from_numpy(points)))
    view = view if view in offered else offered[0]
    if view == TURNING:
        return Projection(view, names or tuple(map(_coordinate, range(3))), lambda points: points)
    if view == PRINCIPAL:
        matrix = _principal(target)
        return Projection(view, ("1st principal axis", "2nd principal axis"), lambda points: points @ matrix)
    chosen = [int(part) - 1 for part in view.split(",")]
    axes = tuple(names[i] for i in chosen) if names else named(view)
    return Projection(view, axes, lambda points: points[:, chosen])


def column_names(target: cm.Target) -> tuple[str, ...]:
    """The columns of a table, where each coordinate is one of them; none of other targets and of projected tables."""
    if not isinstance(target, cm.TableTarget) or target.dim != len(target.columns):
        return ()
    scaled = bool((target.directions == torch.diag(target.directions.diagonal())).all())
    return tuple(name[:24] for name in target.columns) if scaled else ()


def named(view: str) -> tuple[str, ...]:
    """The names of the two coordinates of a view "i,j"."""
    return tuple(_coordinate(int(part) - 1) for part in view.split(","))


def _coordinate(i: int) -> str:
    return "x" + str(i + 1).translate(_LOWER)


def _principal(target: cm.Target) -> np.ndarray:
    """The two directions of most variance, [d, 2]; the largest entry of each is positive."""
    vectors = torch.linalg.eigh(target.covariance).eigenvectors.flip(1)[:, :2].numpy()
    return vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), [0, 1]])
