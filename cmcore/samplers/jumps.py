"""The two samplers of a flow map: jump, or jump and renoise."""

from cmcore.chain import jump_map_of
from cmcore.grids import TimeGrid
from cmcore.samplers.base import SAMPLERS, Sampler

__all__ = ["DETERMINISTIC", "RENOISE"]


def _one_call_a_jump(grid: TimeGrid) -> int:
    return grid.steps


DETERMINISTIC = Sampler(
    name="deterministic",
    label="Deterministic jumps",
    description="Each jump goes straight to the next time; the noise at the start is the only chance.",
    needs="map",
    noisy=False,
    jump=jump_map_of,
    calls=_one_call_a_jump,
)

RENOISE = Sampler(
    name="renoise",
    label="Jump, then renoise",
    description="Each jump goes too far by η, and fresh noise brings the point back up to the next time.",
    needs="map",
    noisy=True,
    jump=jump_map_of,
    calls=_one_call_a_jump,
)

for _sampler in (DETERMINISTIC, RENOISE):
    SAMPLERS.register(_sampler.name)(_sampler)
