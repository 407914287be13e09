"""One sentence of theory where it applies, with the quantity on screen put into it."""

from app.measurements import Measured
from app.runs import Run
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction

__all__ = ["sentence"]

CLAIM_SMOOTH = "The paper’s abstract states KL = O(ε²) after O(log(d/ε)) jumps on smooth data."
CLAIM_ROUGH = "The paper’s abstract states a similar KL after O(d log(d/ε)) jumps for data that need not be smooth."


def sentence(run: Run, config: SamplerConfig, direction: Direction, known: Measured) -> str:
    """What theory says about the number on screen. Bounds are derived in this project and say so."""
    return CLAIM_SMOOTH if run.target.smooth else CLAIM_ROUGH
