"""A curve: estimates along an axis, with everything needed to make it again."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cmcore.divergences.estimate import Estimate
from cmcore.json_input import BadJSON, parse_json

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

LARGEST, MOST_VALUES = 16 << 20, 1 << 19
"""Of a saved curve: bytes, and values."""


@dataclass(frozen=True)
class Curve:
    """Estimates along an axis.

    Attributes:
        axis: what varies, e.g. "steps": the number of network calls asked for.
        values: where, along the axis.
        estimates: one for each value, all of one direction.
        calls: network (or score) calls that each sample really took.
        sampler: the registered name.
        config: every other choice that made the curve: grid, horizon, delta, renoise, n, the target's name.
        seed: of all noise.
        band: lowest and highest value over training seeds, for a curve of medians; else empty. The intervals of the
            estimates speak of one model, the band of how models differ.
    """

    axis: str
    values: tuple[float, ...]
    estimates: tuple[Estimate, ...]
    calls: tuple[int, ...]
    sampler: str
    config: Mapping[str, Any]
    seed: int
    band: tuple[tuple[float, float], ...] = field(default=())

    def to_frame(self) -> "pd.DataFrame":
        """A table with a row for each value; diagnostics are columns of their own.

        `value` is NaN where the estimate is not trusted as a number; low, high and the note say what is then known,
        and `raw_value` what the estimator came to.
        """
        import pandas as pd

        rows = []
        for i, (at, calls, estimate) in enumerate(zip(self.values, self.calls, self.estimates, strict=True)):
            row = {self.axis: int(at) if at == int(at) else at, "calls": calls, **asdict(estimate)}
            row |= {"value": estimate.value if estimate.trusted else math.nan, "raw_value": estimate.value}
            row |= row.pop("diagnostics")
            row.pop("replicates")
            if self.band:
                row |= {"band_low": self.band[i][0], "band_high": self.band[i][1]}
            rows.append(row)
        first = [self.axis, "calls", "value", "low", "high", "trusted", "direction", "estimator", "floor", "delta", "n"]
        names = dict.fromkeys(name for row in (dict.fromkeys(first), *rows) for name in row)
        return pd.DataFrame(rows, columns=list(names))

    def plot(self) -> "go.Figure":
        """The estimates that are trusted along the axis, on logarithmic axes, with their intervals and their floor."""
        import plotly.graph_objects as go

        shown = [(at, e) for at, e in zip(self.values, self.estimates, strict=True) if e.trusted]
        axis, estimates = [at for at, _ in shown], [e for _, e in shown]
        value = [e.value for e in estimates]
        above, below = ([e.high - e.value for e in estimates], [e.value - e.low for e in estimates])
        spread = {"type": "data", "array": above, "arrayminus": below, "symmetric": False}
        figure = go.Figure(go.Scatter(x=axis, y=value, error_y=spread, name=self.sampler, mode="lines+markers"))
        figure.add_scatter(x=axis, y=[e.floor for e in estimates], name="floor", mode="lines", line_dash="dot")
        title = f"{estimates[0].direction} at δ = {estimates[0].delta:g}, nats" if estimates else ""
        figure.update_layout(template="plotly_white", xaxis_title=self.axis, yaxis_title=title)
        figure.update_xaxes(type="log", tickvals=axis)
        return figure.update_yaxes(type="log")

    def _repr_html_(self) -> str:
        """The table, as notebooks show it."""
        return self.to_frame().to_html(notebook=True)

    def to_json(self) -> str:
        """The curve as strict JSON; infinities become the strings "inf" and "-inf"."""
        return json.dumps(_finite(asdict(self)), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Curve":
        """The curve that `to_json` wrote; anything else raises ValueError."""
        try:
            raw = parse_json(text, largest=LARGEST, most_values=MOST_VALUES)
            estimates = tuple(_estimate(entry) for entry in raw.pop("estimates"))
            band = tuple((float(low), float(high)) for low, high in raw.pop("band"))
            values, calls = tuple(map(float, raw.pop("values"))), tuple(raw.pop("calls"))
            return cls(values=values, estimates=estimates, calls=calls, band=band, **raw)
        except BadJSON as broken:
            raise ValueError(f"This is not a curve saved by this project: it {broken}.") from None
        except (KeyError, TypeError, AttributeError) as broken:
            raise ValueError(f"This is not a curve saved by this project: {broken}.") from None


_NUMBERS = ("value", "low", "high", "floor", "delta")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _estimate(raw: dict[str, Any]) -> Estimate:
    diagnostics = {key: float(number) for key, number in raw.pop("diagnostics").items()}
    numbers: dict[str, Any] = {key: float(raw.pop(key)) for key in _NUMBERS}
    replicates = tuple(float(value) for value in raw.pop("replicates", ()))
    return Estimate(**raw, **numbers, diagnostics=diagnostics, replicates=replicates)


def median_over_seeds(curves: Sequence[Curve]) -> Curve:
    """The median over models trained with different seeds, with the lowest and highest as a band.

    Value, low, high and floor of each estimate are medians; it is trusted when all its parts are.
    """
    first = curves[0]
    if any(_question(curve) != _question(first) for curve in curves):
        raise ValueError("Only curves that differ in nothing but the training seed have a median.")
    columns = list(zip(*(curve.estimates for curve in curves), strict=True))
    estimates = tuple(_median(column) for column in columns)
    band = tuple((min(e.value for e in column), max(e.value for e in column)) for column in columns)
    return replace(first, estimates=estimates, band=band)


def _question(curve: Curve) -> tuple[Any, ...]:
    """Everything two curves of one band must share."""
    directions = tuple((e.direction, e.delta) for e in curve.estimates)
    return curve.axis, curve.values, curve.sampler, curve.calls, dict(curve.config), directions


def _median(estimates: Sequence[Estimate]) -> Estimate:
    middle = {
        name: statistics.median(getattr(e, name) for e in estimates) for name in ("value", "low", "high", "floor")
    }
    doubtful = [e for e in estimates if not e.trusted]
    return replace(
        estimates[0],
        **middle,
        trusted=not doubtful,
        note=doubtful[0].note if doubtful else f"Median over {len(estimates)} training seeds.",
        diagnostics={
            name: statistics.median(e.diagnostics[name] for e in estimates)
            for name in estimates[0].diagnostics
            if all(name in e.diagnostics for e in estimates)
        },
    )
