"""The two samplers of a flow map: jump, or jump and renoise."""

from functools import partial

from cmcore.chain import jump_map_of, make_chain
from cmcore.samplers.base import SAMPLERS, StageSampler

__all__ = ["DETERMINISTIC", "RENOISE"]

DETERMINISTIC = StageSampler(
    name="deterministic",
    label="Deterministic jumps",
    description="Each jump goes straight to the next time; the noise at the start is the only chance.",
    needs="map",
    step=jump_map_of,
    chain=partial(make_chain, sampler="deterministic"),
)

RENOISE = StageSampler(
    name="renoise",
    label="Jump, then renoise",
    description="Each jump goes too far by η, and fresh noise brings the point back up to the next time.",
    needs="map",
    noisy=True,
    step=jump_map_of,
    chain=partial(make_chain, sampler="renoise"),
)

for _sampler in (DETERMINISTIC, RENOISE):
    SAMPLERS.register(_sampler.name)(_sampler)
