r"""E5: data without a density, a teacher's map, early stopping at δ, and whether a factor d shows.

The map is a teacher: inside each jump N steps of DDIM, the exponential integrator, on the exact score. (With the
exact map the step size has no effect at all.) Steps are κ·min(1, t), renoised for a share of the step. For d equal
coordinates :math:`KL_d = d\,KL_1`, so what d dimensions cost is known from one.
"""

import math
import time
from collections.abc import Generator
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor

from cmcore.chain import Chain, JumpMap, renoised_chain
from cmcore.divergences import DATA_MODEL, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series
from cmcore.experiments.lines import measured, power_fit
from cmcore.grids import shrinking_step
from cmcore.process import Time
from cmcore.samplers import ddim
from cmcore.targets import BoxMixture, CircleMixture, GaussianMixture
from cmcore.targets.base import Target

LAWS = {"two_atoms": "two atoms", "boxes": "two boxes", "thin_ring": "a circle without thickness"}
_RESOLVED = 1e-3
"""The least δ in the plane: below, the noise of the last step is too fine for a grid."""
_MOST_JUMPS = 400


def teacher(target: Target, substeps: int) -> JumpMap:
    """N DDIM steps of the exact score from t to s, at times in geometric progression."""
    step = ddim(target.score)

    def f(x: Tensor, t: Time, s: Time) -> Tensor:
        first, last = float(t), float(s)
        times = [first * (last / first) ** (i / substeps) for i in range(substeps)] + [last]
        for now, then in pairwise(times):
            x = step(x, now, then)
        return x

    return f


@EXPERIMENTS.register("early_stopping")
class EarlyStopping(Experiment):
    """KL against δ and against d for data without a density, at constant κ and at κ ∝ 1/d."""

    code: ClassVar[str] = "E5"
    label: ClassVar[str] = "Data that is not smooth"
    question: ClassVar[str] = "With data that has no smooth density, do the steps needed grow with the dimension?"
    expects: ClassVar[str] = (
        "The abstract of arXiv:2505.01049 states that a KL similar to O(ε²) takes O(d log(d/ε)) steps under minimal "
        "assumptions. Bound A, derived in this project, holds no factor d beyond what the map's error brings. Whether "
        "the factor shows on one law is open; an upper bound over all laws is not refuted by any of them."
    )

    law: Literal["two_atoms", "boxes", "thin_ring"] = Field("two_atoms", description="the data")
    kappa: float = Field(0.5, ge=0.1, le=0.8, description="κ: steps are κ·min(1, t)")
    substeps: int = Field(4, ge=1, le=64, description="N, the teacher's steps inside a jump")
    renoise: float = Field(0.5, ge=0.1, le=1, description="η as a share of the step, at most t/2")
    horizon: float = Field(4.0, ge=3, le=8, description="T")
    deltas: tuple[float, ...] = Field(
        (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6), min_length=1, max_length=8, description="δ, each from 1e-6 to 0.3"
    )
    delta: float = Field(1e-2, ge=1e-4, le=0.3, description="δ where the dimension is varied")
    dims: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (1, 2, 4, 8), max_length=6, description="d; κ ∝ 1/d multiplies the jumps by d"
    )
    eps: float = Field(0.3, ge=0.01, le=1, description="ε: the goal is KL ≤ ε²")
    landings: int = Field(1 << 16, ge=1 << 12, le=1 << 20, description="M in the plane")

    @model_validator(mode="after")
    def _possible(self) -> "EarlyStopping":
        if any(not 1e-6 <= delta <= 0.3 for delta in self.deltas):
            raise ValueError("Every δ lies between 1e-6 and 0.3.")
        if len(set(self.dims)) < len(self.dims):
            raise ValueError("Dimensions are different whole numbers.")
        if self.law == "thin_ring" and min(self.deltas) < _RESOLVED:
            raise ValueError(f"In the plane a grid resolves the noise down to δ = {_RESOLVED:g} only: choose larger δ.")
        if self.law != "thin_ring" and self.dims and self._jumps(self.delta) * max(self.dims) > _MOST_JUMPS:
            raise ValueError(f"κ/d would take more than {_MOST_JUMPS} jumps: choose a larger κ or δ, or smaller d.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        shares = 0.5 if self._dims else 1.0
        series: list[Series] = []
        for i, substeps in enumerate((self.substeps, 2 * self.substeps)):
            yield Progress(shares * i / 2, f"δ, {substeps} sub-steps")
            series.append(self._against_delta(substeps))
        if self._dims:
            yield Progress(0.5, "constant κ")
            constant, refined = self._constant(refined=False), self._constant(refined=True)
            yield Progress(0.6, "κ ∝ 1/d")
            series += [constant, refined, *self._shrinking()]
        fits = tuple(fit for fit in map(_exponent, series[2:]) if fit)
        return Result(
            experiment="early_stopping",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=tuple(series),
            fits=fits,
            reading=self._reading(series, fits),
            facts={f"jumps at δ = {delta:g}": float(self._jumps(delta)) for delta in self.deltas},
            seconds=time.perf_counter() - started,
        )

    # ---- what is run ------------------------------------------------------------------------------------------------
    @property
    def _dims(self) -> list[int]:
        return [] if self.law == "thin_ring" else sorted(self.dims)

    def _target(self) -> Target:
        if self.law == "two_atoms":
            return GaussianMixture([1, 1], [[-1.0], [1.0]], 0.0, name="two atoms")
        if self.law == "boxes":
            return BoxMixture([1, 1], [[-1.5], [0.5]], [[-0.5], [1.5]], name="two boxes")
        return CircleMixture([1], [[0.0, 0.0]], 1.5, name="thin ring")

    def _jumps(self, delta: float) -> int:
        """K of steps κ·min(1, t) from T to δ, rounded up; κ is lowered a little to land on δ."""
        late = math.log(delta) / math.log1p(-self.kappa) if delta < 1 else 0.0
        return math.ceil((self.horizon - 1) / self.kappa + late)

    def _chain(self, delta: float, jumps: int) -> Chain:
        grid = shrinking_step(jumps, horizon=self.horizon, delta=delta)
        return renoised_chain(grid, [min(self.renoise * (t - later), later / 2) for t, later in grid.jumps])

    def _kl(self, delta: float, jumps: int, substeps: int) -> Estimate:
        target = self._target()
        f = teacher(target, substeps)
        chain = self._chain(delta, jumps)
        return kl_of_chain(f, target, chain, seed=self.seed, n=self.landings, direction=DATA_MODEL)

    # ---- the lines --------------------------------------------------------------------------------------------------
    def _against_delta(self, substeps: int) -> Series:
        deltas = sorted(self.deltas, reverse=True)
        estimates = [self._kl(delta, self._jumps(delta), substeps) for delta in deltas]
        pairs = [(delta, e) for delta, e in zip(deltas, estimates, strict=True) if e.trusted]
        how = (
            f"{DATA_MODEL}, {'convolution on a grid' if self.law == 'thin_ring' else 'quadrature'}; κ = {self.kappa:g}"
        )
        at, values = [delta for delta, _ in pairs], [e for _, e in pairs]
        return measured(f"N = {substeps}", at, values, panel="delta", role="model", how=how)

    def _constant(self, *, refined: bool) -> Series:
        """KL_d at the same jumps for every d; the teacher's sub-steps are N, or N d."""
        jumps = self._jumps(self.delta)
        counts = [self.substeps * (d if refined else 1) for d in self._dims]
        kl_of = {n: self._kl(self.delta, jumps, n) for n in dict.fromkeys(counts)}
        label = "κ constant, N ∝ d" if refined else "κ constant, N constant"
        return self._times_d(label, [kl_of[n] for n in counts])

    def _shrinking(self) -> list[Series]:
        """KL_d with d times the jumps; and the dimension that each number of jumps suffices for."""
        counts = [self._jumps(self.delta) * d for d in self._dims]
        estimates = [self._kl(self.delta, jumps, self.substeps) for jumps in counts]
        pairs = [(self.eps**2 / e.value, jumps) for e, jumps in zip(estimates, counts, strict=True)]
        enough = [(d, float(jumps)) for d, jumps in pairs if d >= 1]
        needed = Series(
            label=f"K that reaches ε², N = {self.substeps}",
            role="model",
            panel="needed",
            x=tuple(d for d, _ in enough),
            y=tuple(jumps for _, jumps in enough),
            how="d = ε²/KL_1 for the measured KL_1 of K jumps; nothing is extrapolated",
        )
        return [self._times_d("κ ∝ 1/d, N constant", estimates), needed]

    def _times_d(self, label: str, estimates: list[Estimate]) -> Series:
        pairs = list(zip(self._dims, estimates, strict=True))
        return Series(
            label=label,
            role="model",
            panel="dimension",
            x=tuple(self._dims),
            y=tuple(d * e.value for d, e in pairs),
            low=tuple(d * e.low for d, e in pairs),
            high=tuple(d * e.high for d, e in pairs),
            how=f"{DATA_MODEL} = d KL_1, KL_1 by quadrature, δ = {self.delta:g}",
            floor=max(d * e.floor for d, e in pairs),
        )

    # ---- words ------------------------------------------------------------------------------------------------------
    def _panels(self) -> tuple[Panel, ...]:
        kl, d = Axis(label=f"{DATA_MODEL}, nats", log=True), Axis(label="dimension d", log=True)
        panels = [Panel(name="delta", x=Axis(label="δ", log=True), y=kl, title=f"{LAWS[self.law]}, κ = {self.kappa:g}")]
        if self._dims:
            jumps = Axis(label="jumps K", log=True)
            panels += [
                Panel(name="dimension", x=d, y=kl, title=f"d coordinates, δ = {self.delta:g}"),
                Panel(name="needed", x=d, y=jumps, title=f"Jumps to KL ≤ ε², ε = {self.eps:g}"),
            ]
        return tuple(panels)

    def _reading(self, series: list[Series], fits: tuple[Fit, ...]) -> str:
        falls = [
            f"{line.label}: KL {line.y[0]:.3g} at δ = {line.x[0]:g} and {line.y[-1]:.3g} at δ = {line.x[-1]:g}"
            for line in series[:2]
            if line.x
        ]
        first = f"{LAWS[self.law].capitalize()}, jumps growing as log(1/δ): {'; '.join(falls)}."
        if not self._dims:
            return f"{first} The dimension is not varied in the plane."
        slopes = {fit.label: fit.slope for fit in fits}
        exponents = "; ".join(f"{label} d^{slope:.2f}" for label, slope in slopes.items() if "reaches" not in label)
        return f"{first} KL_d of d coordinates grows as: {exponents}. {self._needs(slopes)}"

    def _needs(self, slopes: dict[str, float]) -> str:
        """What was seen of the factor d, as an observation."""
        needed = next((slope for label, slope in slopes.items() if "reaches" in label), None)
        refined = slopes.get("κ constant, N ∝ d")
        caveat = "An observation on one product law; the abstract's statement is an upper bound over all laws."
        if needed is None or refined is None:
            return f"Too few points reach ε² to say how the jumps needed grow. {caveat}"
        factor = "the factor d shows" if needed > 0.9 else "fewer than the factor d would ask for"
        asked = "no more jumps at all" if refined <= 0 else "more jumps still"
        return (
            f"With a teacher of N sub-steps the jumps that reach ε² grow as d^{needed:.2f}: {factor}. With a teacher "
            f"refined in proportion to d, larger d asks for {asked}. {caveat}"
        )


def _exponent(line: Series) -> Fit | None:
    pairs = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y > 0 and math.isfinite(y)]
    return power_fit(line.label, [x for x, _ in pairs], [y for _, y in pairs], expected=None, note="exponent of d")
