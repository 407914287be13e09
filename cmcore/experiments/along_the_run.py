r"""E14: where in time a run loses its accuracy: :math:`KL(q_k\|p_{t_k})` after each jump k of one run.

After k jumps the samples follow :math:`q_k`, and exact ones would follow :math:`p_{t_k}`. Each is measured as the KL
of a chain that ends there; the last is the KL of the run.
"""

import time
from collections.abc import Generator, Iterator
from typing import Annotated, ClassVar, cast

from pydantic import Field, model_validator

from cmcore.chain import JumpMap, JumpSampler, RenoisedChain, make_chain, renoised_chain
from cmcore.divergences import MODEL_DATA, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result
from cmcore.experiments.lines import measured
from cmcore.grids import GRIDS, TimeGrid, make_grid
from cmcore.targets import Target, make_target
from cmcore.training import train

RUNS = ("deterministic", "algorithm_1")


def after_each_jump(
    f: JumpMap, target: Target, chain: RenoisedChain, *, seed: int, n: int
) -> Iterator[tuple[float, Estimate]]:
    """t_k and KL(q_k‖p_{t_k}) for k = 1 … K; from where the target has a density."""
    for k in range(1, chain.grid.steps + 1):
        start = renoised_chain(TimeGrid(chain.grid.times[: k + 1], chain.grid.name), chain.etas[:k])
        yield chain.grid.times[k], kl_of_chain(f, target, start, seed=seed, n=n, direction=MODEL_DATA)


@EXPERIMENTS.register("along_the_run")
class AlongTheRun(Experiment):
    """KL after each jump of one run, straight on and by the paper's sampler."""

    code: ClassVar[str] = "E14"
    label: ClassVar[str] = "Along one run"
    question: ClassVar[str] = "At which times does a run lose its accuracy?"
    expects: ClassVar[str] = (
        "The last value is the KL of the run. Jumps of the exact map change nothing; noise can only lower the KL of "
        "what came before (data processing), and each jump adds its own error. Where most is lost is to be seen."
    )

    target: str = Field("eight_gaussians", max_length=64, description="a target of the gallery, d = 2")
    training_steps: int = Field(3000, ge=20, le=1_000_000, description="optimiser steps of the map, by default recipe")
    jumps: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (4, 8), min_length=1, max_length=4, description="K, a run of each"
    )
    grid: str = Field("uniform_angle", max_length=64, description="time grid")
    delta: float = Field(0.05, ge=0.005, le=1, description="δ")
    samples: int = Field(8192, ge=512, le=1_000_000, description="behind each KL, straight on")
    landings: int = Field(1 << 16, ge=4096, le=1 << 22, description="behind each KL with noise")

    @model_validator(mode="after")
    def _measurable(self) -> "AlongTheRun":
        GRIDS[self.grid]
        target = make_target(self.target)
        if target.dim != 2 or not target.has_score:
            raise ValueError(f"The map is trained and measured in two dimensions, not on {target.name}.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        target = make_target(self.target)
        yield Progress(0.0, f"training a map of {self.target}")
        # Renoised jumps land below δ.
        model = train(target, steps=self.training_steps, seed=self.seed, delta=self.delta / 10, threads=1)
        series = []
        for i, k in enumerate(self.jumps):
            grid = make_grid(self.grid, k, horizon=model.horizon, delta=self.delta)
            for j, sampler in enumerate(RUNS):
                yield Progress(0.4 + 0.6 * (i + j / 2) / len(self.jumps), f"{k} jumps, {sampler}")
                chain = make_chain(grid, sampler=cast("JumpSampler", sampler), earliest=model.delta)
                n = self.landings if j else self.samples
                found = list(after_each_jump(model.flow_map, target, chain, seed=self.seed, n=n))
                words = "the paper's sampler" if j else "straight on"
                how = f"KL(q_k‖p_t) after each jump, {found[-1][1].estimator}"
                times, values = [t for t, _ in found], [e for _, e in found]
                role = "baseline" if j else "model"
                series.append(measured(f"K = {k}, {words}", times, values, panel="run", role=role, how=how))
        x = Axis(label="t where the jump ends", log=True)
        return Result(
            experiment="along_the_run",
            config=self.model_dump(mode="json"),
            panels=(Panel(name="run", x=x, y=Axis(label=f"{MODEL_DATA} at t, nats", log=True)),),
            series=tuple(series),
            reading=" ".join(_told(line.label, line.x, line.y) for line in series) + " One map, one seed.",
            facts={f"{line.label}, at the end": line.y[-1] for line in series},
            seconds=time.perf_counter() - started,
        )


def _told(label: str, times: tuple[float, ...], values: tuple[float, ...]) -> str:
    """The jump that adds most, in words."""
    gains = [later - before for before, later in zip((0.0, *values[:-1]), values, strict=True)]
    k = max(range(len(gains)), key=lambda i: gains[i])
    return (
        f"{label}: ends at {values[-1]:.2g}, and the jump to t = {times[k]:.2g} adds most, {gains[k]:.2g} "
        f"({k + 1} of {len(values)})."
    )
