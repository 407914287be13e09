"""The loss of a training run, as a Vega-Lite specification."""

from typing import Any

from app.figures.theme import Theme

__all__ = ["loss_chart"]


def loss_chart(theme: Theme) -> dict[str, Any]:
    """Loss (logarithmic) against optimiser steps; the data have the fields `step` and `loss`."""
    quiet = {"labelColor": theme.muted, "titleColor": theme.muted, "titleFontWeight": "normal", "titleFontSize": 12}
    return {
        "description": "Training loss against optimiser steps, loss on a logarithmic axis.",
        "background": "transparent",
        "mark": {"type": "line", "color": theme.model, "strokeWidth": 1.6, "interpolate": "monotone"},
        "encoding": {
            "x": {
                "field": "step", "type": "quantitative", "title": "optimiser steps",
                "axis": {**quiet, "grid": False, "tickCount": 4},
            },
            "y": {
                "field": "loss", "type": "quantitative", "title": "loss", "scale": {"type": "log", "nice": True},
                "axis": {**quiet, "gridColor": theme.hairline, "tickCount": 3, "format": "~g"},
            },
            "tooltip": [{"field": "step", "format": ","}, {"field": "loss", "format": ".3g"}],
        },
    }  # fmt: skip
