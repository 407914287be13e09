r"""E2: how many steps d dimensions need, with the exact flow map and with solvers of the exact score.

A product of d equal coordinates has :math:`KL_d = d\,KL_1`, so d dimensions reach ε² with any K for which
:math:`KL_1(K) \le \varepsilon^2/d`. For the exact map at constant step, :math:`KL_1 \sim c\,e^{-2nhK}` (see E1), hence
:math:`K = \log d/(2nh) + \text{const}`. For a solver with :math:`KL_1 \sim K^{-p}`, :math:`K \propto d^{1/p}`.
"""

import math
import time
from collections.abc import Generator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cmcore.divergences import DATA_MODEL, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series
from cmcore.experiments.lines import CASES, coordinate, measured, settled_fit, verdict
from cmcore.grids import GRIDS, make_grid
from cmcore.samplers import SAMPLERS, Sampler, source_for
from cmcore.theory import NOT_A_QUERY, initialisation_kl, least_queries
from cmcore.theory.fits import GrowthFit, best_growth

_EARLIEST = 0.5
"""The smallest horizon whose KL is a quadrature to rounding."""
_LATEST = 12.0
_PER_DECADE = 4
_ABOVE_FLOOR = 4
_FEWEST_DIMS = 3
"""More dimensions than these tell growths apart."""


@EXPERIMENTS.register("dimension")
class Dimension(Experiment):
    """The steps K that reach KL ≤ ε² in d dimensions: exact jumps of constant step, and solvers of the exact score."""

    code: ClassVar[str] = "E2"
    label: ClassVar[str] = "Steps against dimension"
    question: ClassVar[str] = "How does the number of steps to a given KL grow with the dimension?"
    expects: ClassVar[str] = (
        "The abstract of arXiv:2505.01049 states O(log(d/ε)) iterations for smooth data. Derived in this project: with "
        "the exact map K is straight in log d, with slope 1/(2h), 1/(4h) or 1/(6h) by the first cumulant that differs "
        "from N(0, I); a solver whose KL in one dimension falls as K^{−p} needs K ∝ d^{1/p}. Published rates of "
        "solvers are upper bounds over a class of laws and may well be larger than what one law shows."
    )

    max_d: int = Field(1_000_000, ge=100, le=10**9, description="the largest dimension")
    eps: float = Field(0.3, ge=0.01, le=1, description="ε: the goal is KL ≤ ε²")
    step: float = Field(0.25, ge=0.05, le=1, description="h of the exact map's jumps")
    delta: float = Field(0.05, ge=0.01, le=0.5, description="δ, where all samplers end")
    sd: float = Field(0.5, ge=0.1, le=0.9, description="of the two Gaussians of a coordinate")
    case: Literal["off_centre", "centred", "skewed"] = Field("centred", description="the coordinate solvers are run on")
    baselines: bool = Field(True, description="whether the solvers of the exact score are run")
    horizon: float = Field(6.0, ge=3, le=10, description="T of the solvers, fixed")
    grid: str = Field("uniform_angle", max_length=64, description="time grid of the solvers")
    most_calls: int = Field(32, ge=8, le=256, description="score evaluations of the solvers, at most")

    @model_validator(mode="after")
    def _possible(self) -> "Dimension":
        GRIDS[self.grid]
        if self.eps**2 / self.max_d < 1e-11:
            raise ValueError("KL_1 = ε²/d would fall below 1e-11, which float64 quadrature does not resolve: raise ε.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        exact: dict[str, Series] = {}
        for i, case in enumerate(CASES):
            yield Progress(0.1 * i / 3, f"exact jumps, {CASES[case][1]}")
            exact[case] = self._exact(case)
        solvers = self._solvers() if self.baselines else {}
        orders: list[Series] = []
        for i, (name, sampler) in enumerate(solvers.items()):
            yield Progress(0.1 + 0.9 * i / len(solvers), sampler.labelled("exact"))
            orders.append(self._order(SAMPLERS[name]))
        needs = [need for need in map(self._needed, orders) if need.x]
        least = _least_line(needs)
        logs = [_straight(line, 1 / (2 * CASES[case][0] * self.step)) for case, line in exact.items()]
        powers = [_order_fit(line) for line in orders]
        lines = [line for line in (*exact.values(), *needs) if len(set(line.x)) > _FEWEST_DIMS]
        growth = {line.label: best_growth(np.asarray(line.x), np.asarray(line.y)) for line in lines}
        return Result(
            experiment="dimension",
            config=self.model_dump(mode="json"),
            panels=self._panels(with_solvers=bool(orders)),
            series=(*exact.values(), *orders, *needs, *least),
            fits=tuple(fit for fit in (*logs, *powers, *map(_need_fit, needs)) if fit),
            reading=self._reading([fit for fit in logs if fit], orders, powers, growth),
            facts={
                f"{label}, held-out error of {form}": error
                for label, fit in growth.items()
                for form, error in fit.errors.items()
            },
            seconds=time.perf_counter() - started,
        )

    # ---- the exact map ----------------------------------------------------------------------------------------------
    def _exact(self, case: str) -> Series:
        """K(d), log KL_1 interpolated between whole K; d at which K is less than the first point are left out."""
        target, goal = coordinate(case, self.sd), self.eps**2 / self.max_d
        first = max(1, math.ceil((_EARLIEST - self.delta) / self.step))
        ks, logs = [], []
        while self.delta + (k := first + len(ks)) * self.step <= _LATEST:
            ks.append(k)
            logs.append(math.log(initialisation_kl(target, self.delta + k * self.step, seed=self.seed).value))
            if logs[-1] < math.log(goal):
                break
        decades = math.log10(self.max_d)
        dims = np.logspace(0, decades, round(decades * _PER_DECADE) + 1)
        wanted = 2 * math.log(self.eps) - np.log(dims)
        inside = (wanted <= logs[0]) & (wanted >= logs[-1])
        needed = np.interp(wanted[inside], logs[::-1], ks[::-1])
        return Series(
            label=f"exact map, {CASES[case][1]}",
            role="exact",
            panel="exact",
            x=tuple(dims[inside].tolist()),
            y=tuple(needed.tolist()),
            how="K with KL_d = d KL_1 = ε², KL_1 = KL(p_T‖γ) by quadrature in float64, log KL_1 linear between whole K",
        )

    # ---- solvers of the exact score ---------------------------------------------------------------------------------
    def _solvers(self) -> Mapping[str, Sampler]:
        return {name: sampler for name, sampler in SAMPLERS.items() if sampler.needs == "score"}

    def _order(self, sampler: Sampler) -> Series:
        """KL_1 against calls. A solver that chooses its steps has one point at most, and no order."""
        target, of_calls = coordinate(self.case, self.sd), {}
        for steps in _ladder(self.most_calls // sampler.calls_per_jump):
            grid = make_grid(self.grid, steps, horizon=self.horizon, delta=self.delta)
            plan = sampler.plan(source_for(target, sampler, "exact"), grid)
            computable = plan.chain.deterministic or plan.chain.always_noisy  # else no quadrature of its law
            if not computable or plan.calls > self.most_calls or plan.calls in of_calls:
                continue
            estimate = kl_of_chain(plan.f, target, plan.chain, seed=self.seed, direction=DATA_MODEL)
            if estimate.trusted and math.isfinite(estimate.value) and estimate.value > _ABOVE_FLOOR * estimate.floor:
                of_calls[plan.calls] = estimate
        calls, estimates = list(of_calls), list(of_calls.values())
        how = f"{DATA_MODEL} in one dimension, quadrature; T = {self.horizon:g} fixed, grid {self.grid}"
        return measured(sampler.labelled("exact"), calls, estimates, panel="order", role="baseline", how=how)

    def _needed(self, order: Series) -> Series:
        """The same points as d = ε²/KL_1 against calls: the dimension each number of calls suffices for."""
        pairs = [(self.eps**2 / kl, calls) for calls, kl in zip(order.x, order.y, strict=True)]
        within = [(d, calls) for d, calls in pairs if 1 <= d <= self.max_d]
        return Series(
            label=order.label,
            role="baseline",
            panel="needed",
            x=tuple(d for d, _ in within),
            y=tuple(calls for _, calls in within),
            how="d = ε²/KL_1 for the measured KL_1 of that many calls; nothing is extrapolated",
        )

    # ---- words ------------------------------------------------------------------------------------------------------
    def _panels(self, *, with_solvers: bool) -> tuple[Panel, ...]:
        d = Axis(label="dimension d", log=True)
        goal = f"to KL(data‖model) ≤ ε², ε = {self.eps:g}"
        exact = Panel(name="exact", x=d, y=Axis(label="jumps K"), title=f"Exact map, h = {self.step:g}, {goal}")
        if not with_solvers:
            return (exact,)
        calls = Axis(label="score evaluations", log=True)
        kl = Axis(label=f"{DATA_MODEL} of one coordinate, nats", log=True)
        return (
            exact,
            Panel(name="order", x=calls, y=kl, title=f"Solvers in one dimension, {CASES[self.case][1]}"),
            Panel(name="needed", x=d, y=calls, title=f"Solvers, {goal}"),
        )

    def _reading(
        self, logs: list[Fit], orders: list[Series], powers: list[Fit | None], growth: dict[str, GrowthFit]
    ) -> str:
        slopes = "; ".join(f"{fit.label}: {fit.slope:.3f}" for fit in logs)
        text = f"Jumps of the exact map per unit of log d, where settled: {slopes}. {verdict(logs)}"
        sentences = []
        for line, fit in zip(orders, powers, strict=True):
            order = _order_read(fit) if fit else "no settled order here"
            sentences.append(f"{line.label}: {order}")
        solvers = f" Solvers of the exact score, KL ~ calls^−p: {'; '.join(sentences)}." if sentences else ""
        forms = "; ".join(f"{label}: {fit.best}" for label, fit in growth.items())
        text = (
            f"{text}{solvers} Of log d, √d and d, the growth that predicts larger d best: {forms}. These are "
            "observations on one product law, for the dimensions that were measured."
        )
        return f"{text} {NOT_A_QUERY}" if orders else text


def _least_line(needs: list[Series]) -> list[Series]:
    """√d over the dimensions of the solvers' lines: the order below which no sampler that queries scores goes."""
    dims = sorted({d for need in needs for d in need.x})
    if not dims:
        return []
    return [
        Series(
            label="√d, lower bound of score queries, up to constant and logarithms",
            role="bound",
            panel="needed",
            x=(dims[0], dims[-1]),
            y=tuple(least_queries(d) for d in (dims[0], dims[-1])),
            how=f"Ω̃(√d), the abstract of arXiv:2604.10857: over all laws, so one product may need less. {NOT_A_QUERY}",
        )
    ]


def _ladder(most: int) -> list[int]:
    """2, 3, 4, 6, 8, 12, … up to `most`."""
    counts = sorted({2**i for i in range(1, 9)} | {3 * 2**i for i in range(8)})
    return [k for k in counts if k <= most]


def _straight(line: Series, expected: float) -> Fit | None:
    fit = settled_fit(line.label, [math.log(d) for d in line.x], line.y, expected=expected)
    return fit and fit.model_copy(
        update={"over": tuple(math.exp(end) for end in fit.over), "note": "per unit of log d"}
    )


def _order_fit(line: Series) -> Fit | None:
    logs = ([math.log(v) for v in axis] for axis in (line.x, line.y))
    fit = settled_fit(f"KL_1, {line.label}", *logs, expected=None, share=0.15)
    return fit and fit.model_copy(update={"over": tuple(math.exp(end) for end in fit.over), "note": "−p, log-log"})


def _order_read(fit: Fit) -> str:
    return f"order p = {-fit.slope:.2f} ({-fit.high:.2f} to {-fit.low:.2f}), so d^{-1 / fit.slope:.2f}"


def _need_fit(line: Series) -> Fit | None:
    logs = ([math.log(v) for v in axis] for axis in (line.x, line.y))
    fit = settled_fit(f"calls, {line.label}", *logs, expected=None, share=0.15)
    return fit and fit.model_copy(update={"over": tuple(math.exp(end) for end in fit.over), "note": "exponent of d"})
