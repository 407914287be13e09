"""Which times suit a model best, and what choosing them buys."""

import time
from collections.abc import Generator, Iterator
from typing import ClassVar

from pydantic import Field

from cmcore.chain import JumpSampler, RenoisedChain, make_chain
from cmcore.divergences import DATA_MODEL, MODEL_DATA, Direction, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Role, Series
from cmcore.grids import make_grid
from cmcore.model import TrainedModel
from cmcore.targets import make_target
from cmcore.theory import Interval, bound_of_chain, least_bound, least_kl
from cmcore.training import train

NAMED = {
    "quadratic_angle": "quadratic in angle",
    "uniform_angle": "even in angle",
    "karras": "Karras, ρ = 7",
    "constant_step": "constant step",
}
OURS = {"kl": "least measured KL", "bound": "least Bound A"}
DRAWS: dict[str, tuple[Direction, str]] = {
    "deterministic": (MODEL_DATA, "deterministic"),
    "renoise": (DATA_MODEL, "renoised"),
}


@EXPERIMENTS.register("time_grids")
class TimeGrids(Experiment):
    """K times chosen for a trained model, measured again on fresh noise beside the grids with a name."""

    code: ClassVar[str] = "Times"
    label: ClassVar[str] = "Times chosen for the model"
    question: ClassVar[str] = "How much KL do K jumps save when their times, and η, are chosen for the model at hand?"
    expects: ClassVar[str] = (
        "Nothing is proved of it. The times with the least Bound A can be found exactly, since the bound is a sum "
        "over jumps; those with the least KL by local search."
    )

    target: str = Field("eight_gaussians", max_length=64, description="a target of the gallery, d = 2")
    training_steps: int = Field(3000, ge=50, le=1_000_000, description="optimiser steps of the map, by default recipe")
    steps: tuple[int, ...] = Field((2, 4, 8), min_length=1, max_length=8, description="the numbers of jumps K")
    delta: float = Field(0.02, gt=0, le=1, description="δ of the renoised draws")
    trials: int = Field(60, ge=1, le=2000, description="chains that the search for the least KL looks at")
    n: int = Field(20_000, ge=256, le=1_000_000, description="samples behind a deterministic KL")
    landings: int = Field(1 << 18, ge=4096, le=1 << 24, description="landings behind a renoised KL")

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        target = make_target(self.target)
        yield Progress(0.0, "Training the map.")
        model = train(target, steps=self.training_steps, seed=self.seed, threads=1)
        chains: list[tuple[str, str, int, RenoisedChain]] = []
        kls: dict[tuple[str, str, int], Estimate] = {}
        parts = [(draw, k) for draw in DRAWS for k in self.steps]
        for i, (draw, k) in enumerate(parts):
            yield Progress(0.2 + 0.8 * i / len(parts), f"Choosing and measuring {k} {DRAWS[draw][1]} jumps.")
            for name, chain in self._chains(model, draw, k):
                chains.append((draw, name, k, chain))
                kls[draw, name, k] = self._measured(model, chain, DRAWS[draw][0])
        bounds = {
            (name, k): bound_of_chain(model, target, chain, seed=self.seed + 2, n=4096).total
            for draw, name, k, chain in chains
            if draw == "renoise"
        }
        series = [self._series(kls, draw, name) for draw in DRAWS for name in (*NAMED, "kl", "bound")]
        series += [self._bound(bounds, name) for name in ("uniform_angle", "bound")]
        return Result(
            experiment="time_grids",
            config=self.model_dump(),
            panels=self._panels(model),
            series=tuple(line for line in series if line is not None),
            reading=self._reading(kls, chains),
            facts={
                f"{draw} {name} K={k} {what} {j}": value
                for draw, name, k, chain in chains
                if name in OURS
                for what, values in (("t", chain.grid.times), ("η", chain.etas if draw == "renoise" else ()))
                for j, value in enumerate(values)
            },
            seconds=time.perf_counter() - started,
        )

    def _chains(self, model: TrainedModel, draw: str, k: int) -> Iterator[tuple[str, RenoisedChain]]:
        """Every chain that is compared at K = k."""
        assert model.target is not None
        renoised = draw == "renoise"
        sampler: JumpSampler = "renoise" if renoised else "deterministic"
        horizon, delta = model.horizon, self.delta if renoised else model.delta
        for name in NAMED:
            grid = make_grid(name, k, horizon=horizon, delta=delta)
            yield name, make_chain(grid, sampler=sampler, earliest=model.delta)
        chosen = least_kl(
            model, model.target, k, horizon=horizon, delta=delta, sampler=sampler, seed=self.seed, trials=self.trials
        )
        yield "kl", chosen.chain
        if renoised:
            least = least_bound(model, model.target, k, horizon=horizon, delta=delta, seed=self.seed)
            yield "bound", least.chain

    def _measured(self, model: TrainedModel, chain: RenoisedChain, direction: Direction) -> Estimate:
        """KL on noise that nothing was chosen by."""
        assert model.target is not None
        n = self.n if direction == MODEL_DATA else self.landings
        return kl_of_chain(model.flow_map, model.target, chain, seed=self.seed + 1, n=n, direction=direction)

    def _series(self, kls: dict[tuple[str, str, int], Estimate], draw: str, name: str) -> Series | None:
        estimates = [kls[draw, name, k] for k in self.steps if (draw, name, k) in kls]
        if not estimates:
            return None
        first = estimates[0]
        role: Role = "model" if name in OURS else "baseline"
        return Series(
            label={**NAMED, **OURS}[name],
            role=role,
            panel=draw,
            x=tuple(float(k) for k in self.steps),
            y=tuple(e.value for e in estimates),
            low=tuple(e.low for e in estimates),
            high=tuple(e.high for e in estimates),
            how=f"{first.direction} at δ = {first.delta:g}, {first.estimator}, n = {first.n:,}, fresh noise",
            floor=max(e.floor for e in estimates),
        )

    def _bound(self, bounds: dict[tuple[str, int], Interval], name: str) -> Series:
        parts = [bounds[name, k] for k in self.steps]
        return Series(
            label=f"Bound A, {({**NAMED, **OURS})[name]}",
            role="bound",
            panel="renoise",
            x=tuple(float(k) for k in self.steps),
            y=tuple(p.value for p in parts),
            low=tuple(p.low for p in parts),
            high=tuple(p.high for p in parts),
            how="Bound A, n = 4,096 points a jump, fresh noise",
        )

    def _panels(self, model: TrainedModel) -> tuple[Panel, ...]:
        x = Axis(label="network calls", log=True)
        return (
            Panel(
                name="deterministic",
                title=f"Deterministic, δ = {model.delta:g}",
                x=x,
                y=Axis(label=f"{MODEL_DATA}, nats", log=True),
            ),
            Panel(
                name="renoise",
                title=f"Renoised, δ = {self.delta:g}",
                x=x,
                y=Axis(label=f"{DATA_MODEL}, nats", log=True),
            ),
        )

    def _reading(
        self, kls: dict[tuple[str, str, int], Estimate], chains: list[tuple[str, str, int, RenoisedChain]]
    ) -> str:
        """What the chosen times save at each K, in words."""
        sentences = []
        for draw, (direction, word) in DRAWS.items():
            for k in self.steps:
                best = min((kls[draw, name, k] for name in NAMED), key=lambda e: e.value)
                ours = kls[draw, "kl", k]
                apart = "" if ours.high < best.low or ours.low > best.high else ", within the intervals"
                sentences.append(
                    f"{word}, K = {k}: {direction} {ours.value:.2g} [{ours.low:.2g}, {ours.high:.2g}] with chosen "
                    f"times, {best.value:.2g} [{best.low:.2g}, {best.high:.2g}] with the best named grid{apart}"
                )
        times = {(draw, name, k): chain.grid.times for draw, name, k, chain in chains}
        few = min(self.steps)
        inner = ", ".join(f"{t:.3g}" for t in times["deterministic", "kl", few][1:-1]) or "none"
        return (
            "Chosen on one noise and measured on another. " + "; ".join(sentences) + ". "
            f"Chosen times between T and δ at K = {few}, deterministic: {inner}."
        )
