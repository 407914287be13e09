r"""E8: where the KL of a renoised learned model comes from.

.. math:: KL(\text{paths}) = KL(p_T\|\gamma) + \sum_k \frac{\varepsilon_k^2}{2\,(e^{2\eta_{k+1}} - 1)}
          = KL(p_\delta\|q) + \text{slack}

The left side is taken apart exactly (:mod:`cmcore.theory.path_kl`); the last states show only part of it, and the slack
is what renoising has forgotten of the errors made on the way.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Role, Series
from cmcore.grids import make_grid
from cmcore.targets.base import Target
from cmcore.targets.gallery import make_target
from cmcore.theory import Decomposition, Interval
from cmcore.theory import decomposition as taken_apart
from cmcore.training import train


def decompositions(
    model: Any, target: Target, numbers: Sequence[int], *, delta: float, horizon: float = 3.0, **choices: Any
) -> Iterator[Decomposition]:
    """The KL of renoised sampling taken apart for each number of jumps N, on grids even in angle.

    Args:
        model: a trained model (a saved run, say) or any map (x, t, s) → x_s.
        target: the truth.
        numbers: the N.
        delta, horizon: δ > 0 and T.
        choices: renoise, n, landings and seed, as :func:`cmcore.theory.decomposition` takes them.
    """
    for n in numbers:
        yield taken_apart(model, target, make_grid("uniform_angle", n, horizon=horizon, delta=delta), **choices)


@EXPERIMENTS.register("decomposition")
class PathDecomposition(Experiment):
    """Train a map, sample it with renoising, and take the KL of its paths apart for each number of jumps."""

    code: ClassVar[str] = "E8"
    label: ClassVar[str] = "Where the KL comes from"
    question: ClassVar[str] = (
        "How much of a renoised model's KL is due to its start, to its map, and how much is forgotten?"
    )
    expects: ClassVar[str] = (
        "The KL of the paths is the initialisation plus the scaled map errors, exactly, and the measured KL lies below "
        "it by a slack ≥ 0 (Bound A, derived in this project). How large the slack is, is to be seen."
    )

    target: str = Field("eight_gaussians", max_length=64, description="a target of the gallery")
    numbers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1, 2, 4, 8), min_length=1, max_length=8, description="N, numbers of jumps"
    )
    renoise: float = Field(0.5, ge=0.05, le=0.95, description="η as a share of t")
    delta: float = Field(0.02, ge=0.001, le=1, description="δ, where the jumps end")
    horizon: float = Field(3.0, ge=1, le=8, description="T")
    steps: int = Field(3000, ge=20, le=1_000_000, description="training steps")
    width: int = Field(64, ge=8, le=512, description="units in each hidden layer")
    depth: int = Field(4, ge=1, le=12, description="hidden layers")
    batch: int = Field(512, ge=32, le=8192, description="training pairs in a step")
    points: int = Field(8192, ge=256, le=1_000_000, description="behind the map error of each jump")
    landings: int = Field(1 << 18, ge=4096, le=1 << 24, description="behind each measured KL")

    @field_validator("numbers")
    @classmethod
    def _increasing(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError("The numbers of jumps must increase: remove repeated ones and sort them.")
        return numbers

    @model_validator(mode="after")
    def _measurable(self) -> "PathDecomposition":
        target = make_target(self.target)
        if target.dim > 2 or not target.has_score:
            raise ValueError(
                f"KL(data‖model) of a renoised run is measured in one or two dimensions, not of {target.name}."
            )
        return self

    # ---- measuring ----------------------------------------------------------------------------------------------
    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        target = make_target(self.target)
        yield Progress(0.0, f"learning the map of {self.target}")
        # Renoised jumps land between 0 and δ, so the map is learned down to δ (1 − renoise).
        model = train(
            target,
            objective="trajectory_regression",
            steps=self.steps,
            batch=self.batch,
            network={"width": self.width, "depth": self.depth},
            horizon=self.horizon,
            delta=self.delta * (1 - self.renoise),
            warmup=min(200, self.steps // 4),
            seed=self.seed,
        )
        results = []
        apart = decompositions(
            model, target, self.numbers, delta=self.delta, horizon=self.horizon,
            seed=self.seed, renoise=self.renoise, n=self.points, landings=self.landings,
        )  # fmt: skip
        for i, n in enumerate(self.numbers):
            yield Progress(0.5 + i / len(self.numbers) / 2, f"taking {n} jumps apart")
            results.append(next(apart))
        return self._result(results, time.perf_counter() - started)

    # ---- the answer ---------------------------------------------------------------------------------------------
    def _result(self, results: list[Decomposition], seconds: float) -> Result:
        return Result(
            experiment="decomposition",
            config=self.model_dump(mode="json"),
            panels=PANELS,
            series=(
                *self._whole(results),
                *(self._steps(n, parts) for n, parts in zip(self.numbers, results, strict=True)),
            ),
            reading=self._read(results),
            facts={
                f"N = {n}, share of the KL of the paths that does not show": parts.slack.value / parts.path.value
                for n, parts in zip(self.numbers, results, strict=True)
            },
            seconds=seconds,
        )

    def _whole(self, results: list[Decomposition]) -> Iterator[Series]:
        drawn = f"{self.points:,} exact samples a jump"
        measured = results[0].measured
        rows: tuple[tuple[str, Role, list[Interval], str], ...] = (
            ("KL of the paths (Bound A)", "bound", [parts.path for parts in results], f"the sum of its parts; {drawn}"),
            (
                "measured KL",
                "model",
                [_interval(parts) for parts in results],
                f"{measured.estimator}, n = {measured.n:,}",
            ),
            ("initialisation", "exact", [parts.initialisation for parts in results], "KL(p_T‖γ) by quadrature"),
            ("map errors", "baseline", [_of_map(parts) for parts in results], f"Σ ε²/(2(e^{{2η}} − 1)); {drawn}"),
            ("slack", "baseline", [parts.slack for parts in results], "KL of the paths less the measured KL"),
        )
        x = tuple(float(n) for n in self.numbers)
        for label, role, values, how in rows:
            said = f"KL(data‖model), δ = {self.delta:g}; {how}"
            yield _series(label, role, values, panel="parts", x=x, how=said)
        floors = [Interval(parts.floor, parts.floor, parts.floor) for parts in results]
        how = "the least KL the estimator can tell from 0"
        yield _series("floor of the measurement", "floor", floors, panel="parts", x=x, how=how)

    def _steps(self, n: int, parts: Decomposition) -> Series:
        times = make_grid("uniform_angle", n, horizon=self.horizon, delta=self.delta).times[1:]
        how = f"ε²/(2(e^{{2η}} − 1)) of each jump; {self.points:,} exact samples"
        return _series(f"N = {n}", "model", parts.jumps, panel="jumps", x=times, how=how)

    def _read(self, results: list[Decomposition]) -> str:
        sentences = []
        for n, parts in _ends(self.numbers, results):
            path, measured = parts.path.value, parts.measured.value
            sentences.append(
                f"With {n} jump{'s' if n > 1 else ''} the KL of the paths is {path:.2g} nats: "
                f"{parts.initialisation.value:.2g} from the start and {_of_map(parts).value:.2g} from the map. "
                f"{measured:.2g} of it is measured in the samples; {parts.slack.value / path:.0%} does not show there."
            )
        jumps, of_map = results[-1].jumps, _of_map(results[-1]).value
        if len(jumps) > 1:
            k = max(range(len(jumps)), key=lambda i: jumps[i].value)
            sentences.append(
                f"Of the {len(jumps)} jumps number {k + 1} counts most, {jumps[k].value / of_map:.0%} of the map."
            )
        below = [n for n, parts in zip(self.numbers, results, strict=True) if parts.slack.high < 0]
        sentences.append(
            f"At N = {', '.join(map(str, below))} the measured KL exceeds its bound by more than the intervals allow."
            if below
            else "The slack is nowhere below 0 by more than its interval."
        )
        near = [n for n, parts in zip(self.numbers, results, strict=True) if parts.measured.value < 2 * parts.floor]
        if near:
            sentences.append(f"At N = {', '.join(map(str, near))} the measured KL is within twice its floor.")
        return " ".join(sentences)


_KL = Axis(label="KL(data‖model), nats", log=True)
PANELS = (
    Panel(name="parts", x=Axis(label="jumps N", log=True), y=_KL, title="The whole and its parts, KL(data‖model)"),
    Panel(
        name="jumps", x=Axis(label="t where the jump ends", log=True), y=_KL, title="Each jump's part, KL(data‖model)"
    ),
)


def _ends(numbers: Sequence[int], results: Sequence[Decomposition]) -> list[tuple[int, Decomposition]]:
    """The fewest jumps and the most, once where they are the same."""
    pairs = list(zip(numbers, results, strict=True))
    return [pairs[0], pairs[-1]] if len(pairs) > 1 else pairs


def _of_map(parts: Decomposition) -> Interval:
    return reduce(add, parts.jumps)


def _interval(parts: Decomposition) -> Interval:
    return Interval(parts.measured.value, parts.measured.low, parts.measured.high)


def _series(label: str, role: Role, values: Sequence[Interval], **rest: Any) -> Series:
    return Series(
        label=label,
        role=role,
        y=tuple(value.value for value in values),
        low=tuple(value.low for value in values),
        high=tuple(value.high for value in values),
        **rest,
    )
