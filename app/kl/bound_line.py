"""One sentence of theory where it applies, with the quantity on screen put into it."""

import math

from app.runs.library import Run
from app.ui.cards import number, resolved
from cmcore.config import SamplerConfig
from cmcore.diagnostics import midway
from cmcore.divergences.estimate import Estimate
from cmcore.theory import PaperBound, claimed_rate


def sentence(
    run: Run,
    config: SamplerConfig,
    estimate: Estimate | None,
    bound: float | None,
    start: float,
    *,
    paper: PaperBound | None = None,
) -> str:
    """What theory says about the number on screen.

    The paper is known by its abstract, so its claims are quoted as the abstract's; bounds derived in this project are
    called so. `bound` is Bound A, `start` is KL(p_T‖γ), and `paper` the paper's bound where its sampler drew.
    """
    value = estimate.value if estimate is not None and resolved(estimate) else None
    words = [_claim(run, config, value)]
    if value is not None:
        words.append(_start(value, start))
    if bound is not None and value is not None:
        words.append(f"Bound A, derived here for every target and map, promises at most {number(bound)} nats for it.")
    if paper is not None and bound is not None and value is not None:
        words.append(_paper(paper))
    truth = getattr(run.target, "truth", "")
    return " ".join([*words, truth]).strip()


def _paper(of: PaperBound) -> str:
    """The paper's bound above the other two, and whether what it asks for is met."""
    failing = [
        f"{one.says} (here {number(one.value)}, at most {number(one.limit)})"
        for one in of.assumptions
        if one.met is False
    ]
    met = f"not met: {'; '.join(failing)}" if failing else "met, as far as they were looked at"
    return (
        f"The paper’s bound, as reported, is {number(of.total.value)} nats with ε = {number(of.epsilon.value, 2)}, the "
        f"{of.measured}’s. Its assumptions are {met}."
    )


RENOISED = 0.1
"""The η by which the sentence on map errors renoises."""


def map_sentence(quantity: str, value: float, t: float, s: float) -> str:
    """What theory says about the root mean square of a map's error or residual."""
    size = number(value, 2)
    if quantity == "map_error":
        cost = number(value**2 / (2 * math.expm1(2 * RENOISED)), 2)
        return (
            f"Renoised for η = {RENOISED} after landing, this jump adds ε²/(2(exp 2η − 1)) = {cost} nats to Bound A, "
            "derived here for every target and map."
        )
    if quantity == "semigroup":
        return (
            f"The exact flow composes: stopping at u = {midway(t, s):.2g}, halfway in angle, changes nothing. "
            f"Here it moves the landing point by {size}."
        )
    if quantity == "lagrangian":
        return (
            f"As s moves, an exact landing point moves with the flow. Here its speed is off by {size} per radian of θ."
        )
    return (
        "Points of one exact path land together: that is consistency. Here the landing point drifts by "
        f"{size} per radian of θ while its start is carried along the path."
    )


def _start(value: float, start: float) -> str:
    """Whether the error comes from the horizon or from the map."""
    if start < value / 10:
        costs = f"Starting from N(0, I) costs {number(start, 2)} nats of it"
        return f"{costs}: the error comes from the learned map, not from the finite T."
    return f"Starting from N(0, I) instead of p_T alone costs {number(start, 2)} nats: a longer horizon would help."


def _claim(run: Run, config: SamplerConfig, value: float | None) -> str:
    smooth, d = run.target.smooth, run.target.dim
    rate = claimed_rate(smooth=smooth)
    data = "smooth data" if smooth else "data that need not be smooth"
    claim = f"For {data}, the paper’s abstract states {rate.metric} after {rate.iterations} jumps."
    if value is None:
        return claim
    order = rate.iterations.removeprefix("O(").removesuffix(")")
    needed = math.log(d / math.sqrt(value)) * (1 if smooth else d)
    jumps = "1 jump" if config.steps == 1 else f"{config.steps} jumps"
    return (
        f"{claim} On screen ε² = {number(value)} and d = {d}, so {order} = {number(needed, 2)}, reached with {jumps}, "
        "up to a constant factor."
    )
