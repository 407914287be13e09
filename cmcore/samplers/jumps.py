"""The samplers of a flow map: jump; jump and renoise; the paper's Algorithm 1; and one-time consistency sampling."""

from functools import partial

from cmcore.chain import jump_map_of, make_chain
from cmcore.samplers.base import SAMPLERS, StageSampler

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
    share_of="time",
    step=jump_map_of,
    chain=partial(make_chain, sampler="renoise"),
)

ALGORITHM_1 = StageSampler(
    name="algorithm_1",
    label="The paper's Algorithm 1",
    description="A jump past t_k down to t'_k, and fresh noise for the time t_k − t'_k = ρ h_k, h_k the step.",
    needs="map",
    noisy=True,
    share_of="step",
    step=jump_map_of,
    chain=partial(make_chain, sampler="algorithm_1"),
)
"""Algorithm 1 of arXiv:2505.01049v2 as the Re²Math benchmark of proof gaps reports it; the paper was not read."""

ONE_TIME = StageSampler(
    name="one_time",
    label="One-time consistency sampling",
    description="Every jump goes to the data and is renoised up to the next time; the last adds no noise.",
    needs="map",
    noisy=True,
    ends_noiseless=True,
    step=jump_map_of,
    chain=partial(make_chain, sampler="one_time"),
)
"""Multistep consistency sampling (Song et al. 2023, arXiv:2303.01469, algorithm 1): all a one-time model can do."""

for _sampler in (DETERMINISTIC, RENOISE, ALGORITHM_1, ONE_TIME):
    SAMPLERS.register(_sampler.name)(_sampler)
