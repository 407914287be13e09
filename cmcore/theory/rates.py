"""Claims of arXiv:2505.01049 and published convergence rates, as data.

The paper of this project is known by its abstract and, for the non-smooth case, by a report of one theorem
(:mod:`cmcore.theory.paper_bound`). What other works prove is quoted from their abstracts too, or from memory where a
row says so; no theorem is cited by its number.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Claim:
    """One claim of arXiv:2505.01049, as its abstract has it.

    Attributes:
        key: C1 … C5.
        says: the claim, to follow "the paper's abstract states that".
        shows: what makes it explorable here.
    """

    key: str
    says: str
    shows: str


@dataclass(frozen=True)
class Rate:
    """How many iterations a work proves to be enough.

    Attributes:
        work: authors and year, with the method in brackets where there are several.
        year: of the version the authors are named by.
        assumption: on the data and on what was learned.
        metric: what is made small, with the role of ε.
        iterations: how many suffice, or are needed where it says so; Õ and Ω̃ leave out logarithms.
        basis: whether the abstract was read or the row is recalled.
        arxiv: the number of the preprint.
        counts: what an iteration calls once.
        note: what else to know of the row.
    """

    work: str
    year: int
    assumption: str
    metric: str
    iterations: str
    basis: Literal["abstract", "recalled"]
    arxiv: str
    counts: Literal["model calls", "score calls"]
    note: str = ""


AS_OF = "May 2025"
"""When the paper's own comparison with other works was made: claim C5 speaks of what was there then."""

NOT_A_QUERY = (
    "A call of a consistency map is not a query of the score: the lower bound speaks of samplers that query scores, "
    "and says nothing of a map whose single call moves a point all the way."
)

CAVEAT = (
    "Rates of different metrics and assumptions do not rank methods, and each is an upper bound unless it says so: "
    "consistency works count calls of a model that makes a whole jump, the others calls of a score."
)

CLAIMS = (
    Claim(
        "C1",
        "such models map a point at one time to arbitrary earlier times along the reverse trajectory",
        "a model of two times, f(x, t, s) for all 0 ≤ s ≤ t",
    ),
    Claim(
        "C2",
        "KL = O(ε²) takes O(log(d/ε)) iterations at a constant step size",
        "KL against steps on a log axis, and the steps needed against log d",
    ),
    Claim(
        "C3",
        "under minimal assumptions on the data a similar KL takes O(d·log(d/ε)) steps",
        "atoms, uniform boxes and curves without thickness, with early stopping and shrinking steps",
    ),
    Claim(
        "C4",
        "such models can be learned accurately with small discretization steps, for smooth and non-smooth data",
        "map error and KL against the step τ of the distillation",
    ),
    Claim(
        "C5",
        "for non-smooth data the rates are best in class against analyses of SDEs and ODEs, as of May 2025",
        "the same axes for the baselines at an equal number of calls, and the table of published rates",
    ),
)

_OURS = "Jain, Huang, Ma, Zhang 2025 (multi-step consistency)"
_SMOOTH = Rate(_OURS, 2025, "smooth", "KL = O(ε²)", "O(log(d/ε))", "abstract", "2505.01049", "model calls")
_MINIMAL = Rate(_OURS, 2025, "minimal", "KL = O(ε²)", "O(d·log(d/ε))", "abstract", "2505.01049", "model calls",
    "One theorem of it is known by a report: KL ≤ (d + m₂)e^{−T} + e⁴h'²ε²Σ 1/(4η_k).",
)  # fmt: skip

RATES = (
    Rate(
        "Chen, Chewi, Li, Li, Salim, Zhang 2023 (SDE)",
        2023,
        "Lipschitz scores",
        "TV ≤ ε",
        "Õ(L² d/ε²)",
        "recalled",
        "2209.11215",
        "score calls",
    ),
    Rate(
        "Chen, Lee, Lu 2023 (SDE)",
        2023,
        "second moment, early stopping",
        "KL ≤ ε",
        "Õ(d log(1/δ)/ε)",
        "abstract",
        "2211.01916",
        "score calls",
    ),
    Rate(
        "Benton, De Bortoli, Doucet, Deligiannidis 2024 (SDE)",
        2024,
        "second moment, early stopping",
        "KL ≤ ε²",
        "Õ(d log²(1/δ)/ε²)",
        "abstract",
        "2308.03686",
        "score calls",
    ),
    Rate("Li, Yan 2024 (DDPM)", 2024, "first moment", "TV ≤ ε", "Õ(d/ε)", "abstract", "2409.18959", "score calls"),
    Rate(
        "Chen, Chewi, Lee, Li, Lu, Salim 2023 (PF-ODE, underdamped corrector)",
        2023,
        "L-smooth",
        "TV ≤ ε",
        "Õ(L² √d/ε)",
        "abstract",
        "2305.11798",
        "score calls",
        "The power of L is second-hand.",
    ),
    Rate(
        "Chen, Chewi, Lee, Li, Lu, Salim 2023 (PF-ODE, overdamped corrector)",
        2023,
        "L-smooth",
        "TV ≤ ε",
        "Õ(L³ d/ε²)",
        "abstract",
        "2305.11798",
        "score calls",
        "The power of L is second-hand.",
    ),
    Rate(
        "Li, Wei, Chi, Chen 2024 (PF-ODE)",
        2024,
        "minimal, and a small error of the score's Jacobian",
        "TV ≤ ε",
        "Õ(d/ε)",
        "abstract",
        "2408.02320",
        "score calls",
    ),
    Rate(
        "Huang, Zou, Dong, Zhang, Ma, Zhang 2024 (reverse transition kernel, ULD)",
        2024,
        "mild",
        "TV ≤ ε",
        "Õ(√d/ε)",
        "abstract",
        "2405.16387",
        "score calls",
    ),
    Rate(
        "Huang, Zou, Dong, Zhang, Ma, Zhang 2024 (reverse transition kernel, MALA)",
        2024,
        "slightly stricter",
        "TV ≤ ε",
        "O(d² log(d/ε))",
        "abstract",
        "2405.16387",
        "score calls",
    ),
    Rate(
        "Jain, Zhang 2025 (ODE step and a smaller noising step)",
        2025,
        "minimal, early stopping",
        "KL ≤ ε²",
        "Õ(d log^{3/2}(1/δ)/ε)",
        "abstract",
        "2508.16306",
        "score calls",
    ),
    Rate(
        "Lyu, Chen, Feng 2024 (consistency)",
        2024,
        "smooth data, Lipschitz map",
        "W₂ ≤ ε",
        "polynomial",
        "abstract",
        "2308.11449",
        "model calls",
    ),
    Rate(
        "Li, Huang, Wei 2024 (consistency training)",
        2024,
        "Lipschitz maps",
        "W₁ ≤ ε",
        "1",
        "abstract",
        "2402.07802",
        "model calls",
        "After d^{5/2}/ε steps of training.",
    ),
    Rate(
        "Chen, Zhang, Oertell, Sun 2025 (multi-step consistency)",
        2025,
        "light tails, or smooth",
        "W₂, or TV",
        "two-step schedules suggested",
        "abstract",
        "2505.03194",
        "model calls",
    ),
    Rate(
        "Chen, Chewi, Daskalakis, Rakhlin 2026 (first-order rejection sampling, any data)",
        2026,
        "minimal",
        "–",
        "Õ(d polylog(1/δ))",
        "abstract",
        "2602.01338",
        "score calls",
    ),
    Rate(
        "Chen, Chewi, Daskalakis, Rakhlin 2026 (first-order rejection sampling, smooth data)",
        2026,
        "L-smooth",
        "–",
        "Õ(√(dL) polylog(1/δ))",
        "abstract",
        "2602.01338",
        "score calls",
    ),
    Rate(
        "Gatmiry and others 2026 (collocation in time)",
        2026,
        "bounded effective radius",
        "–",
        "polylog(1/ε)",
        "abstract",
        "2601.10708",
        "score calls",
        "In the effective radius, not in d.",
    ),
    Rate("Wainwright 2025 (modular)", 2025, "–", "–", "polylog(1/ε)", "abstract", "2512.24152", "score calls"),
    Rate(
        "Xun, Price 2026 (lower bound)",
        2026,
        "any sampler that queries polynomially accurate scores",
        "–",
        "at least Ω̃(√d)",
        "abstract",
        "2604.10857",
        "score calls",
        "Adaptive queries; a call of a consistency map is not one.",
    ),
    _SMOOTH,
    _MINIMAL,
)
"""The table of published rates, the paper of this project last."""


def least_queries(dim: float | int) -> float:
    """√d: up to a constant and logarithms, the least score queries of any sampler (arXiv:2604.10857, abstract).

    A line of this slope belongs beside samplers that query a score, with `NOT_A_QUERY` said of maps.
    """
    return math.sqrt(dim)


def claimed_rate(*, smooth: bool) -> Rate:
    """What the abstract of arXiv:2505.01049 claims for data of this kind."""
    return _SMOOTH if smooth else _MINIMAL
