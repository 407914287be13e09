r"""E6: what the sub-step τ of a distillation costs the map and its samples.

Consistency distillation asks f(x_t, t, s) = f(ψ(x_t), r, s) on a grid of N sub-steps, with ψ one step of a teacher.
Its fixed point is the composition of the teacher's steps. Here ψ is a DDIM step with the exact score, an integrator of
first order, so the fixed point misses the exact map by O(τ) and the KL by O(τ²), and it can be had without a network:
N steps of DDIM. A network adds an error of its own, which does not shrink with τ. How large it is, the same network
shows when the teacher is the exact flow.
"""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from cmcore.chain import JumpMap, make_chain
from cmcore.divergences import MODEL_DATA, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Role, Series
from cmcore.experiments.over_seeds import OverSeeds, finished, over_seeds
from cmcore.flow import ExactFlow
from cmcore.grids import TimeGrid, make_grid
from cmcore.model import TrainedModel
from cmcore.process import angle
from cmcore.samplers import ddim, heun
from cmcore.streams import stream
from cmcore.targets import GaussianMixture
from cmcore.theory import fit_line, initialisation_kl
from cmcore.training import train_members

ABOVE_FLOOR = 4.0
"""A point is fitted where its error is this many times the network's own."""
FEWEST = 4
"""Points behind a slope."""
HEUN_STEPS = 64
"""Steps of second order that stand for the exact flow; their own error is among the facts."""
POINTS = 20_000
ASKED = 0.15
"""How close to theory a slope is asked to be."""

SLOPES: Mapping[str, float] = {"map": 1.0, "kl": 2.0}
WHAT: Mapping[str, str] = {"map": "map error", "kl": "KL"}
HOW: Mapping[str, str] = {
    "map": f"root mean square over {POINTS:,} samples of p_T",
    "kl": "KL(model‖data) at δ = 0 by quadrature",
}
_SUB_STEP = Axis(label="sub-step τ (angle)", log=True)
PANELS = (
    Panel(name="map", x=_SUB_STEP, y=Axis(label="map error", log=True), title="Error of the jump T → 0"),
    Panel(name="kl", x=_SUB_STEP, y=Axis(label="KL(model‖data), nats", log=True), title="KL(model‖data)"),
)

Measured = dict[str, OverSeeds]
"""Map error and KL, "map" and "kl"."""


@EXPERIMENTS.register("discretization")
class Discretization(Experiment):
    """Train with several τ, each with a DDIM teacher and with the exact flow, and fit the slopes above the floor."""

    code: ClassVar[str] = "E6"
    label: ClassVar[str] = "Small discretization steps"
    question: ClassVar[str] = (
        "How do the error of a distilled map, and the KL of its samples, fall with the sub-step τ?"
    )
    expects: ClassVar[str] = (
        "Slope 1 for the map error and 2 for the KL, down to the network's own floor (Bound B, derived in this "
        "project). The paper's abstract states that such models can be learned accurately with small discretization "
        "steps."
    )

    intervals: tuple[Annotated[int, Field(ge=2, le=1024)], ...] = Field(
        (4, 6, 8, 12, 16, 32, 64, 128), min_length=1, max_length=16, description="N, sub-steps from T to 0"
    )
    steps: int = Field(4000, ge=20, le=1_000_000, description="training steps for each N and teacher")
    models: int = Field(3, ge=1, le=16, description="models trained side by side for each")
    width: int = Field(32, ge=8, le=256, description="units in each hidden layer")
    depth: int = Field(3, ge=1, le=8, description="hidden layers")
    batch: int = Field(256, ge=32, le=8192, description="training points in a step")
    horizon: float = Field(3.0, ge=2, le=8, description="T")
    sd: float = Field(0.7, ge=0.3, le=0.95, description="of each half of the data, whose variance is 1")

    @field_validator("intervals")
    @classmethod
    def _increasing(cls, intervals: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(intervals)):
            raise ValueError("The numbers of sub-steps must increase: remove repeated ones and sort them.")
        return intervals

    # ---- the setting --------------------------------------------------------------------------------------------
    @cached_property
    def target(self) -> GaussianMixture:
        """Two Gaussians of equal weight, mean 0 and variance 1 together."""
        centre = math.sqrt(1 - self.sd**2)
        return GaussianMixture([0.5, 0.5], [[-centre], [centre]], self.sd**2, name="two Gaussians")

    def sub_step(self, n: int) -> float:
        """τ = (θ_T − θ_0)/N, in the angle θ = arccos e^{-t}."""
        return float(angle(torch.tensor(self.horizon, dtype=torch.float64))) / n

    # ---- measuring ----------------------------------------------------------------------------------------------
    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        learned, exact_teacher, composed = [], [], []
        for i, n in enumerate(self.intervals):
            yield Progress(i / len(self.intervals), f"distilling with {n} sub-steps")
            learned.append(self._measured(self._distilled(n, {"solver": "ddim"})))
            yield Progress((i + 0.5) / len(self.intervals), f"the same network, the exact flow in {n} sub-steps")
            solver = {"solver": "heun", "solver_steps": math.ceil(HEUN_STEPS / n)}
            exact_teacher.append(self._measured(self._distilled(n, solver)))
            composed.append(self._composed(n))
        return self._result(learned, exact_teacher, composed, time.perf_counter() - started)

    def _distilled(self, n: int, solver: Mapping[str, str | int]) -> list[TrainedModel]:
        return finished(
            train_members(
                self.target,
                seeds=range(self.seed, self.seed + self.models),
                objective="two_time_cd",
                # The jump that is measured goes from T to 0: half the pairs start, half end there.
                objective_parameters={"intervals": n, "to_data": 0.5, "from_noise": 0.5, **solver},
                network={"width": self.width, "depth": self.depth, "space_frequencies": (1.0,)},
                steps=self.steps,
                batch=self.batch,
                warmup=min(200, self.steps // 4),
                horizon=self.horizon,
                delta=0.0,
                matmul_dtype="float32",
            )
        )

    @cached_property
    def _points(self) -> tuple[Tensor, Tensor]:
        """Samples of p_T, and where the exact flow takes them."""
        x = self.target.sample(POINTS, t=self.horizon, generator=stream(self.seed, "map error"))
        return x, ExactFlow(self.target)(x, self.horizon, 0.0)

    def _measured(self, models: Sequence[TrainedModel]) -> Measured:
        maps = [model.flow_map.double() for model in models]
        grid = TimeGrid((self.horizon, 0.0))
        return {
            "map": over_seeds([self._error(f, grid) for f in maps]),
            "kl": over_seeds([self._kl(f, grid) for f in maps]),
        }

    def _composed(self, n: int) -> Measured:
        """The fixed point itself: N steps of the teacher, one after the other."""
        f, grid = ddim(self.target.score), make_grid("uniform_angle", n, horizon=self.horizon, delta=0.0)
        return {"map": over_seeds([self._error(f, grid)]), "kl": over_seeds([self._kl(f, grid)])}

    @torch.no_grad()
    def _error(self, f: JumpMap, grid: TimeGrid) -> float:
        """(E_{x∼p_T}|f(x) − Φ(x)|²)^{1/2} of the jumps of the grid one after the other."""
        x, truth = self._points
        for t, s in grid.jumps:
            x = f(x, t, s)
        return float((x - truth).square().sum(1).mean().sqrt())

    def _kl(self, f: JumpMap, grid: TimeGrid) -> float:
        return kl_of_chain(f, self.target, make_chain(grid), seed=self.seed, direction=MODEL_DATA).value

    # ---- the answer ---------------------------------------------------------------------------------------------
    def _result(
        self, learned: list[Measured], exact_teacher: list[Measured], composed: list[Measured], seconds: float
    ) -> Result:
        of_models = f"median of {self.models} models, lowest to highest; {self.steps:,} training steps each"
        lines: tuple[tuple[str, Role, list[Measured], str], ...] = (
            ("learned map", "model", learned, of_models),
            ("N steps of its teacher", "baseline", composed, "DDIM with the exact score; nothing is learned"),
            ("same network, exact flow as teacher", "floor", exact_teacher, of_models),
        )
        fits = {name: self._fits(name, learned, exact_teacher, composed) for name in SLOPES}
        start = initialisation_kl(self.target, self.horizon, seed=self.seed).value
        return Result(
            experiment="discretization",
            config=self.model_dump(mode="json"),
            panels=PANELS,
            series=tuple(self._series(panel.name, *line) for panel in PANELS for line in lines),
            fits=tuple(fit for of_panel in fits.values() for fit in of_panel),
            reading=" ".join((*self._slopes_read(fits), self._floor_read(learned, exact_teacher))),
            facts={
                "KL(p_T‖γ), what starting from N(0, 1) adds": start,
                "map error of the steps that stand for the exact flow": self._error_of_heun(),
                "models that diverged": float(
                    sum(self.models - len(point["kl"].each) for point in (*learned, *exact_teacher))
                ),
            },
            seconds=seconds,
        )

    def _error_of_heun(self) -> float:
        steps = HEUN_STEPS
        return self._error(heun(self.target.score), make_grid("uniform_angle", steps, horizon=self.horizon, delta=0.0))

    def _series(self, panel: str, label: str, role: Role, points: list[Measured], how: str) -> Series:
        values = [point[panel] for point in points]
        return Series(
            label=label,
            role=role,
            panel=panel,
            x=tuple(self.sub_step(n) for n in self.intervals),
            y=tuple(value.median for value in values),
            low=tuple(value.low for value in values) if role != "baseline" else (),
            high=tuple(value.high for value in values) if role != "baseline" else (),
            how=f"{HOW[panel]}; {how}",
        )

    def _fits(
        self, name: str, learned: list[Measured], exact_teacher: list[Measured], composed: list[Measured]
    ) -> tuple[Fit, ...]:
        """The slope of the learned line where it stands clear of the floor, and of its teacher's over the same τ."""
        clear = 0
        for mine, floor in zip(learned, exact_teacher, strict=True):
            if not mine[name].median >= ABOVE_FLOOR * floor[name].median:
                break
            clear += 1
        if clear < FEWEST:
            return ()
        x = [math.log(self.sub_step(n)) for n in self.intervals[:clear]]
        of_models = zip(*(point[name].each for point in learned[:clear]), strict=False)
        each = [fit_line(x, [math.log(value) for value in errors]).slope for errors in of_models]
        note = f"{clear} values of τ; each model alone: {min(each):.2f} to {max(each):.2f}" if each else ""
        over = self.sub_step(self.intervals[0]), self.sub_step(self.intervals[clear - 1])
        fits = []
        for who, points, words in (("learned map", learned, note), ("its teacher's steps", composed, "")):
            line = fit_line(x, [math.log(point[name].median) for point in points[:clear]])
            label = f"{WHAT[name]} against τ, {who}"
            low, high = line.slope_low, line.slope_high
            fits.append(
                Fit(label=label, slope=line.slope, low=low, high=high, expected=SLOPES[name], over=over, note=words)
            )
        return tuple(fits)

    def _slopes_read(self, fits: Mapping[str, tuple[Fit, ...]]) -> Generator[str, None, None]:
        for name, slopes in fits.items():
            if not slopes:
                yield (
                    f"The {WHAT[name]} stands {ABOVE_FLOOR:g} times above the floor at fewer than {FEWEST} values of "
                    "τ, so it has no slope here; longer training lowers the floor."
                )
                continue
            mine, teachers = slopes
            away = mine.slope - SLOPES[name]
            close = (
                f"within {ASKED} of" if abs(away) <= ASKED else f"{abs(away):.2f} {'above' if away > 0 else 'below'}"
            )
            yield (
                f"From τ = {mine.over[0]:.3g} to {mine.over[1]:.3g}, where it is at least {ABOVE_FLOOR:g} times the "
                f"floor, the {WHAT[name]} falls with slope {mine.slope:.2f} (95 % interval {mine.low:.2f} to "
                f"{mine.high:.2f}), {close} {SLOPES[name]:g}; the teacher's own steps, nothing learned, give "
                f"{teachers.slope:.2f} there."
            )
            if abs(away) > ASKED:
                yield (
                    f"Of the difference, {teachers.slope - SLOPES[name]:+.2f} is the teacher's own, whose τ are not "
                    f"small enough for the limit, and {mine.slope - teachers.slope:+.2f} the network's."
                )

    def _floor_read(self, learned: list[Measured], exact_teacher: list[Measured]) -> str:
        coarse, fine = exact_teacher[0]["map"].median, exact_teacher[-1]["map"].median
        last = learned[-1]["map"].median
        trend = "grows" if fine > 1.25 * coarse else "shrinks" if fine < 0.8 * coarse else "stays near"
        why = (
            " The error of every sub-step adds up over more of them, as the term (h/τ) ε_cd of Bound B allows."
            if fine > 1.25 * coarse
            else ""
        )
        return (
            f"The network's own error, measured with the exact flow as its teacher, {trend} from {coarse:.2g} to "
            f"{fine:.2g} as τ shrinks from {self.sub_step(self.intervals[0]):.3g} to "
            f"{self.sub_step(self.intervals[-1]):.3g}, where the learned map errs by {last:.2g}.{why}"
        )
