r"""E12 and E13: times chosen by the map itself, and times even in ∫ L dt, beside others at equal numbers of calls.

E12 makes each jump as long as the map composes; E13 spaces times by the one-sided Lipschitz constant of the flow. Both
are compared with grids that have a name and with the best that a search for the least KL finds, measured on noise that
nothing was chosen by. Of E13 there is also a bound, derived here, in the mean and not in KL: with
:math:`\varepsilon_k = E|f - \Phi|` at the run's own points and Φ stretching by at most :math:`e^{\int L}`,

.. math:: E|\hat x_K - x_K| \le \sum_k \varepsilon_k \exp \int_\delta^{t_{k+1}} L(u)\,du,

for deterministic runs, of which Bound A says nothing.
"""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, model_validator

from cmcore.chain import JumpMap, Stage, jump_map_of, land, like_map, make_chain
from cmcore.divergences import MODEL_DATA, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Role, Series
from cmcore.experiments.lines import measured
from cmcore.flow import ExactFlow
from cmcore.grids import TimeGrid, make_grid
from cmcore.model import TrainedModel
from cmcore.samplers import fitted_grid, lipschitz_rates, starting_noise
from cmcore.targets import Target, make_target
from cmcore.theory import least_kl
from cmcore.theory.interval import Interval, mean
from cmcore.training import train

NAMED = {"quadratic_angle": "quadratic in angle", "uniform_angle": "even in angle", "karras": "Karras, ρ = 7"}
FITTED = {"semigroup": "as far as the map composes", "lipschitz": "even in ∫ L dt"}
SEARCHED = "least KL, searched"


def grids_beside(
    model: Any,
    target: Target,
    fitted: Sequence[str],
    steps: int,
    *,
    horizon: float,
    delta: float,
    seed: int,
    trials: int,
) -> Iterator[tuple[str, TimeGrid, int]]:
    """The grids with a name, the fitted ones, and the searched one; with evaluations of the map that choosing took."""
    for name, words in NAMED.items():
        yield words, make_grid(name, steps, horizon=horizon, delta=delta), 0
    for name in fitted:
        found = fitted_grid(name, model, steps, horizon=horizon, delta=delta, target=target, seed=seed)
        yield FITTED[name], found.grid, found.calls
    if trials:
        points = 4096
        best = least_kl(
            model, target, steps, horizon=horizon, delta=delta, seed=seed, trials=trials, n=points, direction=MODEL_DATA
        )
        yield SEARCHED, best.chain.grid, best.trials * points * steps


class _Beside(Experiment):
    """What E12 and E13 share: a trained map, measured on grids of several kinds."""

    fitted: ClassVar[str]

    target: str = Field("eight_gaussians", max_length=64, description="a target of the gallery, d = 2")
    training_steps: int = Field(3000, ge=20, le=1_000_000, description="optimiser steps of the map, by default recipe")
    jumps: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (2, 4, 8), min_length=1, max_length=8, description="K"
    )
    trials: int = Field(40, ge=0, le=2000, description="chains that the search for the least KL looks at; 0: none")
    samples: int = Field(8192, ge=512, le=1_000_000, description="behind each KL")

    @model_validator(mode="after")
    def _measurable(self) -> "_Beside":
        target = make_target(self.target)
        if target.dim != 2 or not target.has_score:
            raise ValueError(f"The map is trained and measured in two dimensions, not on {target.name}.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        target = make_target(self.target)
        yield Progress(0.0, f"training a map of {self.target}")
        model = train(target, steps=self.training_steps, seed=self.seed, threads=1)
        found: dict[str, list[Estimate]] = {}
        costs: dict[str, float] = {}
        chosen: list[tuple[str, TimeGrid]] = []
        for i, k in enumerate(self.jumps):
            yield Progress(0.4 + 0.6 * i / len(self.jumps), f"{k} jumps on every grid")
            for words, grid, calls in self._grids(model, target, k):
                chain = make_chain(grid)
                f = jump_map_of(model)
                estimate = kl_of_chain(f, target, chain, seed=self.seed + 1, n=self.samples, direction=MODEL_DATA)
                found.setdefault(words, []).append(estimate)
                chosen.append((words, grid))
                if calls:
                    costs[f"calls of the map to choose, {words}, K = {k}"] = float(calls)
        series = [self._line(words, estimates, model) for words, estimates in found.items()]
        more, facts = self._more(model, target, chosen)
        return Result(
            experiment=next(name for name, kind in EXPERIMENTS.items() if kind is type(self)),
            config=self.model_dump(mode="json"),
            panels=self._panels(model),
            series=(*series, *more),
            reading=self._reading(found, costs, facts),
            facts=costs
            | facts
            | {
                f"t_{j}, {words}, K = {grid.steps}": t
                for words, grid in chosen
                if words not in NAMED.values()
                for j, t in enumerate(grid.times)
            },
            seconds=time.perf_counter() - started,
        )

    def _grids(self, model: TrainedModel, target: Target, k: int) -> Iterator[tuple[str, TimeGrid, int]]:
        return grids_beside(
            model, target, (self.fitted,), k,
            horizon=model.horizon, delta=model.delta, seed=self.seed, trials=self.trials if k > 1 else 0,
        )  # fmt: skip

    def _line(self, words: str, estimates: list[Estimate], model: TrainedModel) -> Series:
        ours = words == FITTED[self.fitted]
        how = f"{MODEL_DATA} at δ = {model.delta:g}, {estimates[0].estimator}, fresh noise"
        x = self.jumps[-len(estimates) :]
        return measured(words, x, estimates, panel="kl", role="model" if ours else "baseline", how=how)

    def _more(
        self, model: TrainedModel, target: Target, chosen: list[tuple[str, TimeGrid]]
    ) -> tuple[list[Series], dict[str, float]]:
        return [], {}

    def _panels(self, model: TrainedModel) -> tuple[Panel, ...]:
        x = Axis(label="network calls", log=True)
        y = Axis(label=f"{MODEL_DATA}, nats", log=True)
        return (Panel(name="kl", x=x, y=y, title=f"Deterministic, δ = {model.delta:g}"),)

    def _reading(self, found: dict[str, list[Estimate]], costs: dict[str, float], facts: dict[str, float]) -> str:
        """The fitted grid against the others at each K."""
        told = []
        for i, k in enumerate(self.jumps):
            ours = found[FITTED[self.fitted]][i]
            best = min((found[words][i] for words in NAMED.values()), key=lambda e: e.value)
            apart = (
                "better than" if ours.high < best.low else "worse than" if ours.low > best.high else "no different from"
            )
            told.append(
                f"K = {k}: {ours.value:.2g} [{ours.low:.2g}, {ours.high:.2g}], {apart} the best named grid, "
                f"{best.value:.2g} [{best.low:.2g}, {best.high:.2g}]"
            )
        searched = found.get(SEARCHED)
        words = f" A search ends at {', '.join(f'{e.value:.2g}' for e in searched)}." if searched else ""
        spent = {key: v for key, v in costs.items() if FITTED[self.fitted] in key}
        cost = f" Choosing took {max(spent.values()):,.0f} evaluations of the map." if spent else ""
        return f"Grid {FITTED[self.fitted]}: {'; '.join(told)}.{words}{cost} One map, one seed."


@EXPERIMENTS.register("semigroup_jumps")
class SemigroupJumps(_Beside):
    """KL at equal calls of jumps as long as the map composes."""

    code: ClassVar[str] = "E12"
    label: ClassVar[str] = "Jumps chosen by the map"
    question: ClassVar[str] = "Does a map know by itself how far it may jump?"
    expects: ClassVar[str] = (
        "Nothing is asserted. The exact map composes; where a learned one does not, it is wrong somewhere (after the "
        "abstract of arXiv:2605.08454), though it may compose and be wrong all the same."
    )
    fitted: ClassVar[str] = "semigroup"


@EXPERIMENTS.register("lipschitz_grid")
class LipschitzGrid(_Beside):
    """KL at equal calls of a grid even in ∫ L dt, and the bound in the mean that L gives."""

    code: ClassVar[str] = "E13"
    label: ClassVar[str] = "Times even in ∫ L dt"
    question: ClassVar[str] = "Does a grid that stretches errors alike in every jump make few jumps better?"
    expects: ClassVar[str] = (
        "Derived in this project: E|x̂ − x| ≤ Σ ε_k exp ∫_δ^{t_{k+1}} L for deterministic runs, L the one-sided "
        "Lipschitz constant of the flow; it is in the mean, not in KL. Whether its grid (after the abstract of "
        "arXiv:2606.03820) helps the KL is to be seen."
    )
    fitted: ClassVar[str] = "lipschitz"

    points: int = Field(1024, ge=256, le=100_000, description="behind each map error")

    def _more(
        self, model: TrainedModel, target: Target, chosen: list[tuple[str, TimeGrid]]
    ) -> tuple[list[Series], dict[str, float]]:
        """Measured and bounded E|x̂ − x| of each grid."""
        lines: dict[str, list[tuple[int, Amplified]]] = {}
        for words, grid in chosen:
            if words in (NAMED["uniform_angle"], FITTED[self.fitted]):
                found = amplified(jump_map_of(model), target, grid, seed=self.seed + 1, n=self.points)
                lines.setdefault(words, []).append((grid.steps, found))
        series = []
        for words, pairs in lines.items():
            x = tuple(k for k, _ in pairs)
            parts: tuple[tuple[str, Role, list[Interval], str], ...] = (
                ("E|x̂ − x|", "model", [one.distance for _, one in pairs], f"{self.points} runs beside the exact flow"),
                (
                    "Σ ε_k exp ∫ L",
                    "bound",
                    [one.bound for _, one in pairs],
                    "L the largest 1 + λ_max seen: a lower estimate of a supremum",
                ),
            )
            for label, role, values, how in parts:
                series.append(
                    Series(
                        label=f"{label}, {words}",
                        role=role,
                        panel="distance",
                        x=x,
                        y=tuple(v.value for v in values),
                        low=tuple(v.low for v in values),
                        high=tuple(v.high for v in values),
                        how=how,
                    )
                )
        worst = max(one.bound.value / one.distance.value for pairs in lines.values() for _, one in pairs)
        least = min(one.bound.value / one.distance.value for pairs in lines.values() for _, one in pairs)
        return series, {"least bound / E|x̂ − x|": least, "largest bound / E|x̂ − x|": worst}

    def _panels(self, model: TrainedModel) -> tuple[Panel, ...]:
        x, y = Axis(label="network calls", log=True), Axis(label="E|x̂ − x|, in units of the data", log=True)
        return (*super()._panels(model), Panel(name="distance", x=x, y=y, title="In the mean: distance and its bound"))

    def _reading(self, found: dict[str, list[Estimate]], costs: dict[str, float], facts: dict[str, float]) -> str:
        text = super()._reading(found, costs, facts)
        least, most = (facts[f"{end} bound / E|x̂ − x|"] for end in ("least", "largest"))
        return (
            f"{text} The bound on E|x̂ − x| lies {least:.2g} to {most:.2g} times above it: L is that of the worst point."
        )


@dataclass(frozen=True)
class Amplified:
    """E|x̂ − x| of deterministic runs and of what it is made.

    Attributes:
        distance: measured, between a run and the exact flow from the same noise.
        bound: Σ ε_k exp ∫ L.
        errors: ε_k = E|f − Φ| at the run's own points.
        factors: exp ∫_δ^{t_{k+1}} L of each.
    """

    distance: Interval
    bound: Interval
    errors: tuple[Interval, ...]
    factors: tuple[float, ...]


@torch.no_grad()
def amplified(f: JumpMap, target: Target, grid: TimeGrid, *, seed: int, n: int) -> Amplified:
    """The bound in the mean of deterministic jumps, and what it bounds."""
    flow = ExactFlow(target, tolerance=1e-6)
    times, rates = lipschitz_rates(target, grid.horizon, grid.delta, 0)
    parts = -times.diff() * (rates[1:] + rates[:-1]) / 2
    from_delta = torch.cat([parts.flip(0).cumsum(0).flip(0), torch.zeros(1, dtype=torch.float64)])
    dtype, device = like_map(f)
    x = exact = starting_noise(n, target.dim, seed=seed)
    errors, factors = [], []
    for t, later in grid.jumps:
        landed = land(f, x.to(device, dtype), Stage(t, later)).double().cpu()
        errors.append(mean((landed - flow(x, t, later)).norm(dim=1)))
        exact = flow(exact, t, later)
        place = int((times >= later - 1e-12).sum()) - 1
        below = max(0, min(place, len(times) - 2))
        share = float((times[below] - later) / (times[below] - times[below + 1]))
        factors.append(math.exp(float(from_delta[below] + share * (from_delta[below + 1] - from_delta[below]))))
        x = landed
    whole = [error.scaled(factor) for error, factor in zip(errors, factors, strict=True)]
    return Amplified(mean((x - exact).norm(dim=1)), sum(whole[1:], whole[0]), tuple(errors), tuple(factors))
