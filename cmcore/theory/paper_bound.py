r"""The paper's own bound, as it is reported, and why it is Bound A made explicit.

*Reported* by the Re²Math benchmark of proof gaps (entry 2505.01049v2, mined from the LaTeX of arXiv:2505.01049v2; the
paper itself was not read): for data with a finite second moment :math:`m_2` and a score estimate with
:math:`E|\hat s_t - s_t|^2 \le \varepsilon_{score}^2` at every t, Algorithm 1, which jumps from :math:`t_{k-1}` past
:math:`t_k` down to :math:`t'_k` (a jump of length h') and adds noise for the time :math:`t_k - t'_k`, ends with

.. math:: KL(p_\delta\|q_\delta) \le (d + m_2)\, e^{-T}
          + e^4 h'^2 \varepsilon_{score}^2 \sum_k \frac{1}{4\,(t_k - t'_k)}.

*Derived here.* With :math:`\eta_k = t_k - t'_k`, Bound A (:mod:`cmcore.theory.bound_a`) and
:math:`e^{2\eta} - 1 \ge 2\eta` give the sum :math:`\sum_k \varepsilon_k^2/(4\eta_k)`. Let L ≥ 1 bound the largest
eigenvalue of the symmetric part of :math:`\nabla\hat s`. Along an exact trajectory the distance to that of ŝ grows at
most at the rate (1 + L) times itself plus :math:`|\hat s - s|`, so by Grönwall in :math:`L^2`

.. math:: \varepsilon_k \le h' e^{(1+L)h'} \varepsilon_{score} \le e^2 h' \varepsilon_{score}
          \qquad\text{where } h'L \le 1,

which is the very sum of the paper, with its e⁴. Its start term lies far above KL(p_T‖γ). So three numbers lie above one
another wherever the assumptions hold: the KL, Bound A, the paper's bound. Steps may differ here, each with its own h'.

A learned map also carries an error of its distillation. Where no score is at hand ε is read off the map: the least
:math:`\varepsilon` with :math:`\varepsilon_k \le e^2 h'_k\, \varepsilon` at every jump.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpSampler, RenoisedChain, Stage, earliest_of, jump_map_of, make_chain, with_jacobian
from cmcore.divergences.tools.push_forward import doubled
from cmcore.grids import TimeGrid
from cmcore.process import angle, time_from_angle
from cmcore.samplers.scores import ScoreFunction, score_of
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.theory.bound_a import BoundA, bound_of_chain
from cmcore.theory.interval import Interval, largest, mean
from cmcore.threads import piecewise

PREMISE = math.e**2
"""The paper's premise on each jump is ε_k ≤ e² h' ε_score."""

_TIMES = 5
"""Times of a jump, even in angle, at which the score's error and steepness are looked for."""
_CHUNK = 2048


@dataclass(frozen=True)
class Assumption:
    """Something the paper's bound asks for, and what was found of it.

    Attributes:
        key: "moment", "start", "score", "short_jumps" or "premise".
        says: what is asked for, in words.
        value: what was found.
        limit: what it may be at most.
        met: whether it is; None where nothing was measured that could tell.
        how: how it was found, and how sure that is.
    """

    key: Literal["moment", "start", "score", "short_jumps", "premise"]
    says: str
    value: float
    limit: float
    met: bool | None
    how: str


@dataclass(frozen=True)
class PaperBound:
    """The right-hand side of the paper's bound part by part, in nats, beside Bound A of the same chain.

    Attributes:
        total: start and jumps; the interval speaks of the sampling error of ε.
        start: (d + m₂) e^{−T}.
        jumps: e⁴ h'_k² ε²/(4 η_k) of every jump.
        epsilon: ε, a root mean square.
        measured: whose error ε is: the "score"'s, the largest over times, or read off the "map"'s own ε_k.
        lengths: h'_k of every jump.
        ratios: ε_k/(h'_k ε) of every jump, e² at most where the premise holds.
        steepness: L_k of every jump, the largest seen and at least 1.
        assumptions: what is asked for, each met or not.
        bound_a: Bound A, part by part, with the map errors.
    """

    total: Interval
    start: Interval
    jumps: tuple[Interval, ...]
    epsilon: Interval
    measured: Literal["score", "map"]
    lengths: tuple[float, ...]
    ratios: tuple[Interval, ...]
    steepness: tuple[float, ...]
    assumptions: tuple[Assumption, ...]
    bound_a: BoundA

    @property
    def of_jumps(self) -> Interval:
        """The sum without the start."""
        return sum(self.jumps[1:], self.jumps[0])

    @property
    def met(self) -> bool:
        """Whether no assumption is seen to fail."""
        return all(assumption.met is not False for assumption in self.assumptions)

    @property
    def longest(self) -> float:
        """The largest h'_k L_k."""
        return max(h * steep for h, steep in zip(self.lengths, self.steepness, strict=True))

    @property
    def chain(self) -> RenoisedChain:
        """What is bounded."""
        return self.bound_a.chain


def paper_start(target: Target, horizon: float) -> float:
    """(d + m₂) e^{−T}, the start term of the paper's bound, in nats."""
    return (target.dim + target.second_moment) * math.exp(-horizon)


def paper_bound(
    model: Any,
    target: Target,
    grid: TimeGrid,
    *,
    seed: int,
    sampler: JumpSampler = "algorithm_1",
    renoise: float | None = None,
    score: Literal["model"] | ScoreFunction | None = None,
    n: int = 4096,
) -> PaperBound:
    """The paper's bound on KL(p_δ‖q) for its Algorithm 1, η_k = ρ h_k, with its assumptions looked at.

    Nothing in it asks for that rule of η: it is evaluated for every sampler that renoises at each jump.

    Args:
        model: a trained model or any map (x, t, s) → x_s.
        target: the truth.
        grid: the times; δ > 0.
        seed: of the points at which errors are measured.
        sampler: "algorithm_1", or "renoise".
        renoise: ρ, η as a share of the step (1), or of t for "renoise" (0.5).
        score: the estimate ŝ whose error is ε: a function (x, t) → ŝ, or "model", the velocity of a learned map; None
            reads ε off the map's own errors.
        n: points for each jump.
    """
    chain = make_chain(grid, sampler=sampler, renoise=renoise, earliest=earliest_of(model))
    return paper_bound_of_chain(model, target, chain, seed=seed, score=score, n=n)


@piecewise()
def paper_bound_of_chain(
    model: Any,
    target: Target,
    chain: RenoisedChain,
    *,
    seed: int,
    score: Literal["model"] | ScoreFunction | None = None,
    n: int = 4096,
) -> PaperBound:
    """The paper's bound for any chain of renoised jumps, each η > 0; arguments as of :func:`paper_bound`."""
    below = bound_of_chain(model, target, chain, seed=seed, n=n)
    estimate = _score(model, score)
    lengths = tuple(stage.t - stage.s for stage in chain.stages)
    steep = tuple(
        max(1.0, steepness(estimate or target.score, target, stage, seed=seed, n=min(n, 1024)))
        for stage in chain.stages
    )
    if estimate is None:
        square = largest([e.scaled(1 / (PREMISE * h) ** 2) for e, h in zip(below.map_errors, lengths, strict=True)])
    else:
        square = largest([_score_error(estimate, target, stage, seed=seed, n=n) for stage in chain.stages])
    jumps = tuple(square.scaled(math.e**4 * h**2 / (4 * eta)) for h, eta in zip(lengths, chain.etas, strict=True))
    begin = paper_start(target, chain.grid.horizon)
    start = Interval(begin, begin, begin)
    epsilon = square.root()
    ratios = tuple(
        e.root().scaled(1 / (h * max(epsilon.value, 1e-300))) for e, h in zip(below.map_errors, lengths, strict=True)
    )
    bound = PaperBound(
        total=sum(jumps, start),
        start=start,
        jumps=jumps,
        epsilon=epsilon,
        measured="map" if estimate is None else "score",
        lengths=lengths,
        ratios=ratios,
        steepness=steep,
        assumptions=(),
        bound_a=below,
    )
    return replace(bound, assumptions=_assumptions(bound, target, n))


def _score(model: Any, score: Any) -> ScoreFunction | None:
    """The estimate ŝ in float64, or None."""
    return score_of(doubled(jump_map_of(model)), "model")[0] if score == "model" else score


# ---- what is measured -----------------------------------------------------------------------------------------------
def _times(stage: Stage) -> list[float]:
    """Times from t to s, even in angle."""
    first, last = angle(torch.tensor([stage.t, stage.s], dtype=torch.float64)).tolist()
    times = time_from_angle(torch.linspace(first, last, _TIMES, dtype=torch.float64)).tolist()
    return [stage.t, *times[1:-1], max(stage.s, 1e-9)]


def _score_error(score: ScoreFunction, target: Target, stage: Stage, *, seed: int, n: int) -> Interval:
    """The largest E|ŝ − s|² over the times of a jump."""
    errors = []
    for u in _times(stage):
        x = target.sample(n, t=u, generator=stream(seed, f"score error at {u:g}"))
        with torch.no_grad():
            errors.append(mean((score(x, u) - target.score(x, u)).square().sum(1)))
    return largest(errors)


def steepness(score: ScoreFunction, target: Target, stage: Stage, *, seed: int, n: int = 1024) -> float:
    """The largest eigenvalue of the symmetric part of ∇ŝ at n samples of p_u, over times u of a jump.

    A lower estimate of a supremum: h'L ≤ 1 found false is false, found true it holds where data was met.
    """
    top = -math.inf
    for u in _times(stage):
        x = target.sample(n, t=u, generator=stream(seed, f"steepness at {u:g}"))
        for piece in x.split(_CHUNK):
            top = max(top, float(_top_eigenvalue(score, piece, u).max()))
    return top


def _top_eigenvalue(score: ScoreFunction, x: Float[Tensor, "n d"], u: float) -> Float[Tensor, " n"]:
    slope = with_jacobian(lambda x, u, _: score(x, u), x, u, u)[1]
    return torch.linalg.eigvalsh((slope + slope.mT) / 2)[:, -1]


# ---- what is asked for ----------------------------------------------------------------------------------------------
def _assumptions(bound: PaperBound, target: Target, n: int) -> tuple[Assumption, ...]:
    initialisation, worst = bound.bound_a.initialisation, largest(list(bound.ratios))
    of_map = bound.measured == "map"
    seen = f"the largest at {n:,} samples of p_t, at {_TIMES} times of every jump"
    return (
        Assumption("moment", "E|X₀|² is finite", target.second_moment, math.inf, True, "known of the target"),
        Assumption(
            "start",
            "KL(p_T‖γ) ≤ (d + m₂) e^{−T}",
            initialisation.value,
            bound.start.value,
            initialisation.high <= bound.start.value,
            "both are known of the target",
        ),
        Assumption(
            "score",
            "E|ŝ − s|² ≤ ε² at every t",
            bound.epsilon.value,
            bound.epsilon.high,
            None if of_map else True,
            "no score was given: ε is the least for which the premise holds" if of_map else f"ε is {seen}",
        ),
        Assumption(
            "short_jumps",
            "h'L ≤ 1 at every jump, L ≥ 1 the score's one-sided Lipschitz constant",
            bound.longest,
            1.0,
            bound.longest <= 1,
            f"L is {seen}: a lower estimate, so that “not met” is sure and “met” holds where data was looked at",
        ),
        Assumption(
            "premise",
            "ε_k ≤ e² h' ε at every jump",
            worst.value,
            PREMISE,
            worst.low <= PREMISE * (1 + 1e-9),
            "so by the choice of ε" if of_map else f"ε_k from about {n:,} samples of p_t",
        ),
    )
