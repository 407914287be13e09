"""The same number of network calls: a learned map, the exact one, and solvers that follow the exact score."""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, field_validator

from cmcore.divergences import DATA_MODEL, MODEL_DATA, Direction
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Role, Series
from cmcore.experiments.over_seeds import OverSeeds, finished, over_seeds
from cmcore.grids import make_grid
from cmcore.measure import kl_versus_steps
from cmcore.measure.curve import Curve, median_over_seeds
from cmcore.model import TrainedModel
from cmcore.samplers import SAMPLERS
from cmcore.sampling_defaults import direction_for
from cmcore.streams import stream
from cmcore.targets import GaussianMixture
from cmcore.targets.base import Target
from cmcore.targets.gallery import make_target
from cmcore.theory import Interval, bound_a, initialisation_kl
from cmcore.training import train_members

SOLVERS = ("ddim", "heun", "dpm++2m")
"""Without noise, measured in KL(model‖data)."""
SDE_SAMPLERS = ("exponential_sde", "ddpm")
"""With noise, measured in KL(data‖model)."""


@dataclass(frozen=True)
class _Setting:
    """One target with everything measured on it; every curve knows its direction."""

    name: str
    target: Target
    models: int  # that finished their training
    learned: dict[Direction, Curve]
    bound: list[OverSeeds]
    exact: dict[Direction, Interval]
    baselines: list[Curve]


@EXPERIMENTS.register("equal_calls")
class EqualCalls(Experiment):
    """Train several maps, and measure them and the solvers at equal numbers of network calls, each by its own KL."""

    code: ClassVar[str] = "C5"
    label: ClassVar[str] = "Equal numbers of calls"
    question: ClassVar[str] = "What does a learned map give for a number of calls, beside solvers with the exact score?"
    expects: ClassVar[str] = (
        "The paper's abstract states a KL of O(ε²) in O(log(d/ε)) iterations for smooth data and O(d log(d/ε)) under "
        "minimal assumptions; for solvers the published numbers grow as powers of d/ε. Bound A, derived in this "
        "project, lies above the renoised maps."
    )

    calls: tuple[Annotated[int, Field(ge=1, le=256)], ...] = Field(
        (1, 2, 4, 8, 16), min_length=2, max_length=9, description="network calls a sample"
    )
    delta: float = Field(0.02, ge=0.005, le=0.5, description="δ, where all of them end")
    renoise: float = Field(0.5, ge=0.05, le=0.95, description="η as a share of t, for renoised maps")
    horizon: float = Field(3.0, ge=1, le=8, description="T")
    models: int = Field(8, ge=2, le=32, description="maps trained side by side on each target")
    steps: int = Field(3000, ge=20, le=1_000_000, description="training steps")
    width: int = Field(64, ge=8, le=512, description="units in each hidden layer")
    depth: int = Field(4, ge=1, le=12, description="hidden layers")
    batch: int = Field(256, ge=32, le=8192, description="training pairs in a step, for each map")
    samples: int = Field(4096, ge=512, le=1_000_000, description="behind each KL(model‖data)")
    landings: int = Field(1 << 17, ge=4096, le=1 << 24, description="behind each KL(data‖model)")
    points: int = Field(1024, ge=256, le=1_000_000, description="behind the map error of each jump, for Bound A")

    @field_validator("calls")
    @classmethod
    def _increasing(cls, calls: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(calls)):
            raise ValueError("The numbers of calls must increase: remove repeated ones and sort them.")
        return calls

    # ---- measuring ----------------------------------------------------------------------------------------------
    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        settings = []
        for i, (name, target) in enumerate(targets().items()):
            yield Progress(i / 2, f"training {self.models} maps of {target.name}")
            models = self._trained(target)
            learned: dict[Direction, list[Curve]] = {MODEL_DATA: [], DATA_MODEL: []}
            bounds = []
            for k, model in enumerate(models):
                yield Progress(i / 2 + 0.15 + 0.3 * k / len(models), f"measuring map {k + 1} of {target.name}")
                for direction, of in learned.items():
                    of.append(self._curve(model, target, "deterministic" if direction == MODEL_DATA else "renoise"))
                bounds.append([self._bound(model, target, n) for n in self.calls])
            yield Progress(i / 2 + 0.45, f"measuring the solvers on {target.name}")
            exact: dict[Direction, Interval] = {
                MODEL_DATA: self._start(target),
                DATA_MODEL: initialisation_kl(target, self.horizon, seed=self.seed),
            }
            baselines = [self._curve(target, target, sampler) for sampler in (*SOLVERS, *SDE_SAMPLERS)]
            middle: dict[Direction, Curve] = {direction: median_over_seeds(of) for direction, of in learned.items()}
            bound = [over_seeds(of_n) for of_n in zip(*bounds, strict=True)]
            settings.append(_Setting(name, target, len(models), middle, bound, exact, baselines))
        return self._result(settings, time.perf_counter() - started)

    def _trained(self, target: Target) -> list[TrainedModel]:
        return finished(
            train_members(
                target,
                seeds=range(self.seed, self.seed + self.models),
                objective="trajectory_regression",
                steps=self.steps,
                batch=self.batch,
                network={"width": self.width, "depth": self.depth},
                horizon=self.horizon,
                delta=self.delta * (1 - self.renoise),  # where the last renoised jump lands
                warmup=min(200, self.steps // 4),
            )
        )

    def _curve(self, source: Any, target: Target, sampler: str) -> Curve:
        noisy = SAMPLERS[sampler].noisy
        return kl_versus_steps(
            source, target, self.calls, seed=self.seed, sampler=sampler, horizon=self.horizon, delta=self.delta,
            renoise=self.renoise, n=self.landings if noisy else self.samples,
            direction=direction_for(sampler),
        )  # fmt: skip

    def _bound(self, model: TrainedModel, target: Target, n: int) -> float:
        grid = make_grid("uniform_angle", n, horizon=self.horizon, delta=self.delta)
        return bound_a(model, target, grid, seed=self.seed, renoise=self.renoise, n=self.points).total.value

    def _start(self, target: Target) -> Interval:
        """KL(γ‖p_T), which the exact map carries to KL(q‖p_δ) unchanged, over any grid."""
        noise = torch.randn(100_000, target.dim, generator=stream(self.seed, "start"), dtype=torch.float64)
        log_gaussian = -noise.square().sum(1) / 2 - target.dim / 2 * math.log(2 * math.pi)
        log_ratio = target.log_prob(noise, self.horizon) - log_gaussian
        terms = torch.expm1(log_ratio) - log_ratio  # never negative, with the mean of −log_ratio
        value, half = float(terms.mean()), 1.96 * float(terms.std()) / math.sqrt(len(terms))
        return Interval(value, max(0.0, value - half), value + half)

    # ---- the answer ---------------------------------------------------------------------------------------------
    def _result(self, settings: list[_Setting], seconds: float) -> Result:
        return Result(
            experiment="equal_calls",
            config=self.model_dump(mode="json"),
            panels=tuple(self._panel(setting, direction) for setting in settings for direction in setting.learned),
            series=tuple(line for setting in settings for line in self._lines(setting)),
            reading=" ".join(sentence for setting in settings for sentence in self._read(setting)),
            facts={
                f"{setting.target.name}, Bound A over the measured KL, N = {n}": bound.median / estimate.value
                for setting in settings
                for n, bound, estimate in zip(
                    self.calls, setting.bound, setting.learned[DATA_MODEL].estimates, strict=True
                )
                if estimate.value > 0
            },
            seconds=seconds,
        )

    def _panel(self, setting: _Setting, direction: Direction) -> Panel:
        drawn = "without noise" if direction == MODEL_DATA else "with noise"
        return Panel(
            name=f"{setting.name}, {direction}",
            x=Axis(label="network calls", log=True),
            y=Axis(label=f"{direction}, nats", log=True),
            title=f"{setting.target.name}, {drawn}: {direction}",
        )

    def _lines(self, setting: _Setting) -> Iterator[Series]:
        x = tuple(float(n) for n in self.calls)
        of_models = f"median of {setting.models} maps, lowest to highest; {self.steps:,} training steps"
        for direction, curve in setting.learned.items():
            label = "learned map" if direction == MODEL_DATA else "learned map, renoised"
            low, high = zip(*curve.band, strict=True)
            panel = f"{setting.name}, {direction}"
            yield _line(label, "model", curve, panel=panel, how=of_models, low=low, high=high)
        yield Series(
            label="Bound A of the learned map",
            role="bound",
            panel=f"{setting.name}, {DATA_MODEL}",
            x=x,
            y=tuple(bound.median for bound in setting.bound),
            low=tuple(bound.low for bound in setting.bound),
            high=tuple(bound.high for bound in setting.bound),
            how=f"on KL(data‖model); {self.points:,} exact samples a jump; {of_models}",
        )
        said = {
            MODEL_DATA: "KL(γ‖p_T), which the exact map keeps whatever the number of calls",
            DATA_MODEL: "at most KL(p_T‖γ): Bound A of a map without error",
        }
        for direction, value in setting.exact.items():
            yield Series(
                label="exact map" if direction == MODEL_DATA else "exact map, renoised: at most",
                role="exact",
                panel=f"{setting.name}, {direction}",
                x=x,
                y=(value.value,) * len(x),
                how=said[direction],
            )
        for curve in setting.baselines:
            label = SAMPLERS[curve.sampler].labelled("exact")
            panel = f"{setting.name}, {curve.estimates[0].direction}"
            low, high = zip(*((e.low, e.high) for e in curve.estimates), strict=True)
            yield _line(label, "baseline", curve, panel=panel, how="nothing is learned", low=low, high=high)

    def _read(self, setting: _Setting) -> Iterator[str]:
        n = self.calls[len(self.calls) // 2]
        for direction, curve in setting.learned.items():
            i = curve.values.index(float(n))
            mine, (low, high) = curve.estimates[i].value, curve.band[i]
            solvers = []
            for other in setting.baselines:
                if other.estimates[0].direction != direction:
                    continue
                name = SAMPLERS[other.sampler].label
                enough = next((c for c, e in zip(other.calls, other.estimates, strict=True) if e.value <= mine), None)
                solvers.append(
                    f"{name} takes {enough} calls to come as close" if enough
                    else f"{name} has {other.estimates[-1].value:.2g} after {other.calls[-1]} calls"
                )  # fmt: skip
            against = f"; with the exact score {', '.join(solvers)}" if solvers else ""
            yield (
                f"On {setting.target.name} with {n} calls {direction} of the learned map is {mine:.2g} nats "
                f"({low:.2g} to {high:.2g} over {setting.models} maps){against}."
            )
        ratios = [
            bound.median / estimate.value
            for bound, estimate in zip(setting.bound, setting.learned[DATA_MODEL].estimates, strict=True)
            if estimate.value > 0
        ]
        if ratios:
            yield f"Bound A lies {min(ratios):.3g} to {max(ratios):.3g} times above the renoised map."


def targets() -> dict[str, Target]:
    """A smooth target, and its atoms: the same ring without thickness."""
    smooth = make_target("eight_gaussians")
    assert isinstance(smooth, GaussianMixture)
    smooth.name = "eight Gaussians"
    atoms = GaussianMixture(smooth.weights, smooth.means, 0.0, name="eight atoms")
    return {"smooth": smooth, "atoms": atoms}


def _line(label: str, role: Role, curve: Curve, **rest: Any) -> Series:
    """A curve as a line over the calls really made."""
    estimates = curve.estimates
    names = ", ".join(dict.fromkeys(e.estimator for e in estimates))
    doubt = sum(not e.trusted for e in estimates)
    how = f"{estimates[0].direction}, {names}, n = {max(e.n for e in estimates):,}; {rest.pop('how')}"
    return Series(
        label=label,
        role=role,
        x=tuple(float(n) for n in curve.calls),
        y=tuple(e.value for e in estimates),
        how=how + (f"; {doubt} of these numbers are bounds only" if doubt else ""),
        floor=max(e.floor for e in estimates if math.isfinite(e.floor)),
        **rest,
    )
