"""Trainings watched once more: the films of one or two runs on one clock."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app.components.training_film import Line, Pane, film_message, training_film
from app.runs.library import Run
from app.stage.projections import TURNING, Projection, projection_of, views
from app.stage.scene import density_image, extent_around, extent_of, histogram_image
from cmcore.film import FILM_JUMPS
from cmcore.streams import stream

SIDE_BY_SIDE = 2
MOST_POINTS = 200
DRAWN = 50_000
"""Samples behind the density of a projected target."""


def with_film(runs: Sequence[Run]) -> list[Run]:
    """The first runs that have a film, as many as are shown side by side."""
    return [run for run in runs if len(run.model.film.steps) > 1][:SIDE_BY_SIDE]


def show_film(runs: Sequence[Run], *, key: str, names: Mapping[str, str] | None = None, kl: Line = ()) -> None:
    """The films of these runs.

    Args:
        runs: of :func:`with_film`.
        key: of the component.
        names: what they are called, by their keys; else their labels.
        kl: of a single run, the KL at some of its steps.
    """
    titles = tuple((names or {}).get(run.key, run.label) for run in runs)
    message = _message(tuple(run.key for run in runs), titles, tuple(kl), runs)
    training_film(message, key=key)
    st.caption(
        f"The same noise in every frame, through the averaged weights of that step, in {FILM_JUMPS} jumps as this map "
        "is meant to be drawn; between two frames dots move on straight lines. Below: the loss, and the root mean "
        "square error of one jump from T to δ where the exact flow is there to compare with."
    )


@st.cache_data(max_entries=16, show_spinner=False)
def _message(keys: tuple[str, ...], titles: tuple[str, ...], kl: Line, _runs: Sequence[Run]) -> bytes:
    seen = [_projection(run) for run in _runs]
    grounds = [_background(run, projection) for run, projection in zip(_runs, seen, strict=True)]
    extent = max(extent for extent, _ in grounds)
    panes = [
        _pane(run, title, projection, extent, kl) for run, title, projection in zip(_runs, titles, seen, strict=True)
    ]
    return film_message(panes, extent=extent, jumps=FILM_JUMPS)


def _projection(run: Run) -> Projection:
    """A plane: a cloud that turns would hide what moves."""
    flat = [view for view in views(run.model.dim) if view != TURNING]
    return projection_of(run.target, flat[0] if flat else None)


def _background(run: Run, projection: Projection) -> tuple[float, np.ndarray | None]:
    """Half the side that holds the data, and points of them where the density has no plane of its own."""
    if not projection.view:
        return extent_of(run.target), None
    points = projection.apply(run.target.sample(DRAWN, generator=stream(0, "pictures")).numpy())
    return extent_around(points[:4_000]), points


def _pane(run: Run, title: str, projection: Projection, extent: float, kl: Line) -> Pane:
    film, points = run.model.film, _background(run, projection)[1]
    if points is None:
        density = density_image(run.target, 0.0 if run.target.smooth else 0.01, extent=extent)
    else:
        density = histogram_image(points, extent)
    frames = np.stack([projection.apply(frame.numpy()) for frame in film.frames])
    return Pane(title, film.steps, frames, density, _lines(run, kl), projection.axes)


def _lines(run: Run, kl: Line) -> dict[str, Line]:
    history = run.model.history[:: max(1, -(-len(run.model.history) // MOST_POINTS))]
    lines = {
        "loss": [(step, loss) for step, loss, _ in history],
        "error": [(step, error) for step, _, error in history if np.isfinite(error)],
        "KL": list(kl),
    }
    return {name: line for name, line in lines.items() if line}
