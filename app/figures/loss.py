"""What is watched while a map is learned, as Vega-Lite: such a chart keeps its place while its data change."""

from typing import Any

from app.figures.theme import Theme

BEFORE = "the run before"
"""The value of the field `run` that is drawn faint and dashed."""


def loss_chart(theme: Theme) -> dict[str, Any]:
    """Loss (logarithmic) against optimiser steps; the data have the fields `step`, `loss` and `run`."""
    return {
        "description": "Training loss against optimiser steps, loss on a logarithmic axis.",
        "background": "transparent",
        "mark": {"type": "line", "color": theme.model, "strokeWidth": 1.6, "interpolate": "monotone"},
        "encoding": {
            "x": _steps(theme),
            "y": _logarithmic(theme, "loss", "loss"),
            **_runs(),
            "tooltip": [{"field": "run"}, {"field": "step", "format": ","}, {"field": "loss", "format": ".3g"}],
        },
    }  # fmt: skip


def live_kl_chart(theme: Theme, title: str, limits: tuple[float, float]) -> dict[str, Any]:
    """KL (logarithmic) against optimiser steps, with intervals, between the two ends of the axis.

    The data have the fields `step`, `kl`, `low`, `high`, `from` and `to` (where the interval is drawn), `floor`, `n`,
    `run`, and `resolved`: what is not is drawn as an open point at the floor.
    """
    x, y = _steps(theme), _logarithmic(theme, "kl", "nats")
    y["scale"] = {"type": "log", "domain": list(limits), "nice": False}
    fields = [
        {"field": "run"}, {"field": "step", "format": ","}, {"field": "kl", "format": ".3g", "title": "KL"},
        {"field": "low", "format": ".2g"}, {"field": "high", "format": ".2g"},
        {"field": "n", "format": ",", "title": "points"}, {"field": "floor", "format": ".2g"},
    ]  # fmt: skip
    return {
        "description": f"{title} against optimiser steps, on a logarithmic axis.",
        "background": "transparent",
        "layer": [
            {
                "mark": {"type": "rule", "color": theme.model, "strokeWidth": 1.2, "clip": True},
                "encoding": {
                    "x": x, "y": {**y, "field": "from"}, "y2": {"field": "to"}, "opacity": _runs()["opacity"],
                },
            },
            {
                "mark": {"type": "line", "color": theme.model, "strokeWidth": 1.4},
                "encoding": {"x": x, "y": y, **_runs()},
            },
            {
                "mark": {"type": "point", "size": 38, "strokeWidth": 1.4, "stroke": theme.model},
                "encoding": {
                    "x": x, "y": y, "opacity": _runs()["opacity"], "tooltip": fields,
                    "fill": {"condition": {"test": "datum.resolved", "value": theme.model}, "value": theme.paper},
                },
            },
        ],
    }  # fmt: skip


def _steps(theme: Theme) -> dict[str, Any]:
    axis = {**_quiet(theme), "grid": False, "tickCount": 4}
    return {"field": "step", "type": "quantitative", "title": "optimiser steps", "axis": axis}


def _logarithmic(theme: Theme, field: str, title: str) -> dict[str, Any]:
    axis = {**_quiet(theme), "gridColor": theme.hairline, "tickCount": 3, "format": "~g"}
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log", "nice": True},
        "axis": axis,
    }


def _quiet(theme: Theme) -> dict[str, Any]:
    return {"labelColor": theme.muted, "titleColor": theme.muted, "titleFontWeight": "normal", "titleFontSize": 12}


def _runs() -> dict[str, Any]:
    """One line a run, that of the run before faint and dashed."""
    before = f"datum.run === '{BEFORE}'"
    return {
        "detail": {"field": "run", "type": "nominal"},
        "strokeDash": {"condition": {"test": before, "value": [4, 3]}, "value": [1, 0]},
        "opacity": {"condition": {"test": before, "value": 0.45}, "value": 1},
    }
