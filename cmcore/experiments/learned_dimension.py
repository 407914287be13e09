r"""E2′: steps against dimension with learned maps, beside the exact one.

The data is a product of equal standardised 1-D mixtures, hidden by a rotation that a network must find for itself. With
a constant step h, N jumps start at T = N h. The exact map leaves :math:`KL(q\|p_0) = d\,KL(\gamma\|p^{(1)}_T)`: it pays
for its start alone, d times what one coordinate pays. A learned map pays for its errors too, and nothing is known of
how they grow with d; here that is measured.
"""

import math
import time
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cmcore.chain import make_chain
from cmcore.divergences import MODEL_DATA, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Role, Series
from cmcore.flow import ExactFlow
from cmcore.grids import TimeGrid, growing_horizon
from cmcore.model import TrainedModel
from cmcore.targets import Product
from cmcore.targets.gallery import make_target
from cmcore.theory import fit_line
from cmcore.training import train

LARGEST_HORIZON = 8.0
FEWEST = 3
"""Points behind a line."""


@EXPERIMENTS.register("learned_dimension")
class LearnedDimension(Experiment):
    """Train a map for each d by regression on exact trajectories, and count the steps it needs."""

    code: ClassVar[str] = "E2′"
    label: ClassVar[str] = "Dimension, learned maps"
    question: ClassVar[str] = "How many jumps of constant step does a learned map need as the dimension grows?"
    expects: ClassVar[str] = (
        "The theory does not cover learned maps. With the exact map the number grows as log d (derived in this "
        "project; the paper's abstract states O(log(d/ε)) iterations at constant step for smooth data)."
    )

    dims: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1, 2, 4, 8, 16), min_length=1, max_length=8, description="d"
    )
    case: Literal["skewed", "centred", "off_centre"] = Field(
        "skewed", description="in what a coordinate is not N(0, 1)"
    )
    sd: float = Field(0.4, ge=0.2, le=0.9, description="of each of the two Gaussians of a coordinate")
    step: float = Field(0.25, ge=0.05, le=2, description="h; N jumps start at T = N h")
    jumps: int = Field(8, ge=2, le=32, description="the most jumps")
    goal: float = Field(0.01, gt=0, le=1, description="ε², the KL to reach, in nats")
    steps: int = Field(4000, ge=20, le=1_000_000, description="training steps for each d")
    width: int = Field(64, ge=8, le=512, description="units in each hidden layer")
    depth: int = Field(4, ge=1, le=8, description="hidden layers")
    batch: int = Field(512, ge=32, le=8192, description="training pairs in a step")
    samples: int = Field(4000, ge=256, le=1_000_000, description="behind each KL of a learned map, d > 1")

    @field_validator("dims")
    @classmethod
    def _increasing(cls, dims: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(dims)):
            raise ValueError("The dimensions must increase: remove repeated ones and sort them.")
        return dims

    @model_validator(mode="after")
    def _not_too_far(self) -> "LearnedDimension":
        if self.horizon > LARGEST_HORIZON:
            raise ValueError(f"{self.jumps} jumps of {self.step:g} start at T = {self.horizon:g}; keep T ≤ 8.")
        return self

    @property
    def horizon(self) -> float:
        """The largest T, for which the maps are trained."""
        return self.step * self.jumps

    @property
    def numbers(self) -> tuple[float, ...]:
        """N = 1 … jumps."""
        return tuple(float(n) for n in range(1, self.jumps + 1))

    # ---- measuring ----------------------------------------------------------------------------------------------
    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        yield Progress(0.0, "the exact map, one coordinate")
        exact_one = [self._exact(n) for n in range(1, self.jumps + 1)]
        learned: list[list[Estimate]] = []
        for d in self.dims:
            done = sum(self.dims[: len(learned)]) / sum(self.dims)
            yield Progress(done, f"learning the map, d = {d}")
            target = self.target(d)
            model = self._trained(target)
            yield Progress(done, f"measuring it, d = {d}")
            learned.append([self._learned(model, target, n) for n in range(1, self.jumps + 1)])
        exact = [[d * value for value in exact_one] for d in self.dims]
        return self._result(learned, exact, time.perf_counter() - started)

    def target(self, d: int) -> Product:
        """The rotated product."""
        product = make_target("product_of_mixtures", dim=d, case=self.case, sd=self.sd, rotated=d > 1, seed=self.seed)
        assert isinstance(product, Product)
        return product

    def _trained(self, target: Product) -> TrainedModel:
        network = {"width": self.width, "depth": self.depth, "space_frequencies": (1.0,)}
        return train(
            target, objective="trajectory_regression", steps=self.steps, batch=self.batch, network=network,
            horizon=self.horizon, delta=0.0, seed=self.seed, warmup=min(200, self.steps // 4), matmul_dtype="float32",
        )  # fmt: skip

    def _exact(self, n: int) -> float:
        """The exact map's KL for one coordinate; one jump from T is as good as n."""
        factor = self.target(1).factors[0][0]
        chain = make_chain(TimeGrid((n * self.step, 0.0)))
        return kl_of_chain(ExactFlow(factor), factor, chain, seed=self.seed, direction=MODEL_DATA).value

    def _learned(self, model: TrainedModel, target: Product, n: int) -> Estimate:
        law = target if target.dim > 1 else target.factors[0][0]
        chain = make_chain(growing_horizon(n, step=self.step, delta=0.0))
        return kl_of_chain(model.flow_map, law, chain, seed=self.seed, n=self.samples, direction=MODEL_DATA)

    # ---- the answer ---------------------------------------------------------------------------------------------
    def _result(self, learned: list[list[Estimate]], exact: list[list[float]], seconds: float) -> Result:
        values = [[estimate.value for estimate in of_d] for of_d in learned]
        needed = {"learned map": self._needed(values), "exact map": self._needed(exact)}
        series = [
            *(self._against_n(d, of_d) for d, of_d in zip(self.dims, learned, strict=True)),
            *(self._exact_against_n(d, of_d) for d, of_d in zip(self.dims, exact, strict=True)),
            *(self._against_d(label, numbers) for label, numbers in needed.items()),
            *self._left(learned, exact),
        ]
        fits = tuple(fit for label, numbers in needed.items() for fit in self._growth(label, numbers))
        return Result(
            experiment="learned_dimension",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=tuple(series),
            fits=fits,
            reading=self._read(needed, values, exact, fits),
            facts={
                f"d = {d}, jumps that learning adds": mine - needed["exact map"][d]
                for d, mine in needed["learned map"].items()
                if d in needed["exact map"]
            },
            seconds=seconds,
        )

    def _panels(self) -> tuple[Panel, ...]:
        kl = "KL(model‖data), nats"
        d = Axis(label="dimension d", log=True)
        return (
            Panel(name="kl", x=Axis(label="jumps N"), y=Axis(label=kl, log=True), title=f"T = N h, h = {self.step:g}"),
            Panel(name="needed", x=d, y=Axis(label="jumps N"), title=f"Jumps to KL(model‖data) ≤ {self.goal:g}"),
            Panel(name="left", x=d, y=Axis(label=kl, log=True), title=f"KL(model‖data) left at N = {self.jumps}"),
        )

    def _against_n(self, d: int, of_d: Sequence[Estimate]) -> Series:
        return Series(
            label=f"learned map, d = {d}",
            role="model",
            panel="kl",
            x=self.numbers,
            y=tuple(e.value for e in of_d),
            low=tuple(e.low for e in of_d),
            high=tuple(e.high for e in of_d),
            how=_how(of_d) + f"; one model, {self.steps:,} steps",
            floor=max(e.floor for e in of_d),
        )

    def _exact_against_n(self, d: int, of_d: Sequence[float]) -> Series:
        how = "KL(model‖data), quadrature of one coordinate, times d"
        return Series(
            label=f"exact map, d = {d}", role="exact", panel="kl", x=self.numbers, y=tuple(of_d), how=how
        )  # fmt: skip

    def _against_d(self, label: str, numbers: dict[int, float]) -> Series:
        role: Role = "exact" if label == "exact map" else "model"
        how = f"interpolated in log KL(model‖data) to {self.goal:g}; left out where no N up to {self.jumps} reaches it"
        x, y = tuple(float(d) for d in numbers), tuple(numbers.values())
        return Series(label=label, role=role, panel="needed", x=x, y=y, how=how)

    def _left(self, learned: list[list[Estimate]], exact: list[list[float]]) -> tuple[Series, ...]:
        x, last = tuple(float(d) for d in self.dims), [of_d[-1] for of_d in learned]
        return (
            Series(
                label="learned map",
                role="model",
                panel="left",
                x=x,
                y=tuple(e.value for e in last),
                low=tuple(e.low for e in last),
                high=tuple(e.high for e in last),
                how=_how(last),
                floor=max(e.floor for e in last),
            ),
            Series(label="exact map", role="exact", panel="left", x=x, y=tuple(of_d[-1] for of_d in exact)),
        )

    def _needed(self, values: Sequence[Sequence[float]]) -> dict[int, float]:
        """For each d that gets there within the N tried, the real N at which the KL falls to ε²."""
        numbers = {d: crossing(self.numbers, of_d, self.goal) for d, of_d in zip(self.dims, values, strict=True)}
        return {d: n for d, n in numbers.items() if n is not None}

    def _growth(self, label: str, numbers: dict[int, float]) -> tuple[Fit, ...]:
        if len(numbers) < FEWEST:
            return ()
        line = fit_line([math.log(d) for d in numbers], list(numbers.values()))
        over = float(min(numbers)), float(max(numbers))
        return (
            Fit(
                label=f"N to ε² against log d, {label}",
                slope=line.slope,
                low=line.slope_low,
                high=line.slope_high,
                over=over,
                note="nothing is asserted",
            ),
        )

    def _read(
        self,
        needed: dict[str, dict[int, float]],
        values: list[list[float]],
        exact: list[list[float]],
        fits: tuple[Fit, ...],
    ) -> str:
        mine, truth = needed["learned map"], needed["exact map"]
        words = []
        for d in (d for d in (self.dims[0], self.dims[-1]) if d in truth):
            got = f"{mine[d]:.2f} jumps" if d in mine else f"a number that is not among 1 to {self.jumps}"
            words.append(f"{got} at d = {d}, where the exact one needs {truth[d]:.2f}")
        sentences = [f"To reach {self.goal:g} nats the learned map needs {', and '.join(words)}."] if words else []
        if len(fits) == len(needed):
            sentences.append(
                f"Against log d the learned line has slope {fits[0].slope:.2f} and the exact one {fits[1].slope:.2f}."
            )
        missed = [d for d in self.dims if d not in mine]
        if missed:
            dims = ", ".join(map(str, missed))
            sentences.append(
                f"At d = {dims} no N from 1 to {self.jumps} passes it: the map is off by more at every N, or by less "
                "already at N = 1."
            )
        first, last = (f"d = {d}" for d in (self.dims[0], self.dims[-1]))
        sentences.append(
            f"At N = {self.jumps} the exact map leaves {exact[0][-1]:.1g} nats at {first} and {exact[-1][-1]:.1g} at "
            f"{last}, the learned one {values[0][-1]:.2g} and {values[-1][-1]:.2g}: what is beyond the exact map is "
            f"what learning with {self.steps:,} steps adds, one model for each d."
        )
        return " ".join(sentences)


def crossing(numbers: Sequence[float], values: Sequence[float], goal: float) -> float | None:
    """The real N at which the KL first falls to the goal, linear in log KL between neighbours; None if it does not."""
    points = zip(numbers, values, strict=True)
    for (n, before), (_, after) in pairwise(points):
        if before > goal >= after > 0:
            share = math.log(before / goal) / math.log(before / after)
            return n + share
    return None


def _how(estimates: Sequence[Estimate]) -> str:
    names = ", ".join(dict.fromkeys(e.estimator for e in estimates))
    n = max(e.n for e in estimates)
    doubt = sum(not e.trusted for e in estimates)
    return f"KL(model‖data), {names}, n = {n:,}" + (f"; {doubt} of these numbers are bounds only" if doubt else "")
