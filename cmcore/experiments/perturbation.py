r"""E3: how the KL of a renoised run grows with the error of the map.

The map is :math:`f = \Phi + a \cdot \text{perturbation}`, and T is so large that the run starts at p_T for all that can
be measured: KL(p_T‖γ) is told and lies far below every measured KL. Bound A is then a² times a constant.
"""

import time
from collections.abc import Generator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from cmcore.chain import make_chain
from cmcore.divergences import DATA_MODEL, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series
from cmcore.experiments.lines import CASES, coordinate, measured, power_fit
from cmcore.experiments.perturbed import perturbed
from cmcore.grids import uniform_angle
from cmcore.targets.base import Target
from cmcore.targets.product import Product
from cmcore.theory import bound_a, initialisation_kl

_ABOVE_FLOOR = 4
_HARDLY = 0.01
"""The share of the smallest measured KL that the start may have."""
_BOUND_POINTS = 4096


@EXPERIMENTS.register("perturbation")
class Perturbation(Experiment):
    """KL against the size of the map's error, renoised, from p_T: a square law beneath Bound A."""

    code: ClassVar[str] = "E3"
    label: ClassVar[str] = "Map error"
    question: ClassVar[str] = "How does the KL of a renoised run grow with the error of its map?"
    expects: ClassVar[str] = (
        "Derived in this project: the KL grows as the square of a small error, and Bound A, Σ ε_k²/(2(e^{2η_k} − 1)) "
        "plus the start, lies above it in every run."
    )

    amplitudes: tuple[float, ...] = Field(
        (0.01, 0.02, 0.04, 0.08), min_length=3, max_length=8, description="a on the line, between 0.0001 and 0.3"
    )
    plane_amplitudes: tuple[float, ...] = Field(
        (0.08, 0.12, 0.18), max_length=6, description="a in the plane, between 0.02 and 0.3; none leaves the plane out"
    )
    case: Literal["off_centre", "centred", "skewed"] = Field("centred", description="law of each coordinate")
    sd: float = Field(0.5, ge=0.3, le=0.9, description="of the two Gaussians of a coordinate")
    jumps: int = Field(4, ge=1, le=16, description="K")
    horizon: float = Field(8.0, ge=2, le=12, description="T, where the run starts")
    delta: float = Field(0.1, ge=0.02, le=1, description="δ")
    renoise: float = Field(0.5, ge=0.05, le=1, description="η as a share of t")
    landings: int = Field(1 << 16, ge=1 << 12, le=1 << 20, description="M in the plane")

    @model_validator(mode="after")
    def _possible(self) -> "Perturbation":
        for name, low in (("amplitudes", 1e-4), ("plane_amplitudes", 0.02)):
            if any(not low <= a <= 0.3 for a in getattr(self, name)):
                raise ValueError(
                    f"{name} lie between {low:g} and 0.3: below, the KL falls below floating-point precision; "
                    "above, no square law holds."
                )
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        line = coordinate(self.case, self.sd)
        series: list[Series] = []
        yield Progress(0.0, "on the line")
        series += self._lines(line, sorted(self.amplitudes), "line")
        if self.plane_amplitudes:
            yield Progress(0.3, "in the plane")
            series += self._lines(Product([(line, 2)]), sorted(self.plane_amplitudes), "plane")
        start = initialisation_kl(line, self.horizon, seed=self.seed).value
        fits = tuple(fit for fit in map(_square, series[::2]) if fit)
        facts = _ratios(series) | {"initialisation_kl": start}
        return Result(
            experiment="perturbation",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=tuple(series),
            fits=fits,
            reading=_reading(series, fits, start),
            facts=facts,
            seconds=time.perf_counter() - started,
        )

    def _lines(self, target: Target, amplitudes: list[float], panel: str) -> list[Series]:
        """The measured KL and Bound A of the same runs."""
        grid = uniform_angle(self.jumps, horizon=self.horizon, delta=self.delta)
        chain = make_chain(grid, sampler="renoise", renoise=self.renoise)
        estimates, bounds, at = [], [], []
        for a in amplitudes:
            f = perturbed(target, a)
            estimate = kl_of_chain(f, target, chain, seed=self.seed, n=self.landings, direction=DATA_MODEL)
            if not estimate.trusted or estimate.value < _ABOVE_FLOOR * estimate.floor:
                continue
            at.append(a)
            estimates.append(estimate)
            bounds.append(bound_a(f, target, grid, seed=self.seed, renoise=self.renoise, n=_BOUND_POINTS).total)
        way = "quadrature" if target.dim == 1 else f"convolution on a grid, {self.landings} landings"
        how = f"{DATA_MODEL}, {way}; shown above {_ABOVE_FLOOR} times its floor"
        measured_line = measured(f"measured, d = {target.dim}", at, estimates, panel=panel, role="model", how=how)
        bound = Series(
            label=f"Bound A, d = {target.dim}",
            role="bound",
            panel=panel,
            x=tuple(at),
            y=tuple(b.value for b in bounds),
            low=tuple(b.low for b in bounds),
            high=tuple(b.high for b in bounds),
            how=f"KL(p_T‖γ) + Σ ε_k²/(2(e^{{2η_k}} − 1)), ε_k² from {_BOUND_POINTS} exact samples of p_t",
        )
        return [measured_line, bound]

    def _panels(self) -> tuple[Panel, ...]:
        x, y = Axis(label="size a of the map's error", log=True), Axis(label=f"{DATA_MODEL}, nats", log=True)
        words = f"{CASES[self.case][1]}, K = {self.jumps}, η = {self.renoise:g} t, T = {self.horizon:g}"
        line = Panel(name="line", x=x, y=y, title=f"On the line, {words}")
        plane = Panel(name="plane", x=x, y=y, title="In the plane, an error that couples the coordinates")
        return (line, plane) if self.plane_amplitudes else (line,)


def _square(line: Series) -> Fit | None:
    return power_fit(line.label, line.x, line.y, expected=2.0, note="exponent of a")


def _ratios(series: list[Series]) -> dict[str, float]:
    """KL over bound, in every run."""
    return {
        f"KL / Bound A, {line.panel}, a = {a:g}": kl / bound
        for line, above in zip(series[::2], series[1::2], strict=True)
        for a, kl, bound in zip(line.x, line.y, above.y, strict=True)
    }


def _reading(series: list[Series], fits: tuple[Fit, ...], start: float) -> str:
    read = "; ".join(f"{fit.label}: {fit.slope:.3f} [{fit.low:.3f}, {fit.high:.3f}]" for fit in fits) or "none"
    ratios = list(_ratios(series).values())
    if not ratios:
        return "No KL stood clear of its floor on these settings, so nothing is claimed."
    square = all(abs(fit.slope - 2) <= 0.1 for fit in fits) and bool(fits)
    runs = f"{sum(r < 1 for r in ratios)} of {len(ratios)} runs"
    smallest = min(y for line in series[::2] for y in line.y)
    negligible = start < _HARDLY * smallest
    begin = "negligible beside" if negligible else "NOT negligible beside"
    return (
        f"Exponent of the error in the KL: {read}; {'within' if square else 'not within'} 0.1 of 2. The KL lies below "
        f"Bound A in {runs}, at {min(ratios):.3g} to {max(ratios):.3g} of it: the slack is what renoising forgets. "
        f"Runs start from N(0, I) at T, where KL(p_T‖γ) = {start:.1e} a coordinate is {begin} the smallest measured "
        f"KL, {smallest:.1e}."
    )
