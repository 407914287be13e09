"""How far jumps that were drawn elsewhere are from the engine's."""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from cmcore.chain import Stage, with_jacobian
from cmcore.model import FlowMap

AGREEMENT = 1e-5


def disagreement(f: FlowMap, stages: Iterable[Stage], states: Sequence[Tensor], landings: Sequence[Tensor]) -> Tensor:
    """How far each jump lands from where it does in double precision, from where its draw stands; at most `AGREEMENT`
    where they agree. Where the border between two modes stretches more than hundredfold, it is measured by what 1e-7
    at the start would make.
    """
    exact = copy.deepcopy(f).double()
    allowed = []
    for stage, x, landing in zip(stages, states, landings, strict=False):
        expected, jacobian = with_jacobian(exact, x.double(), stage.t, stage.s)
        stretch = torch.linalg.matrix_norm(jacobian, ord=2)
        allowed.append((landing.double() - expected).norm(dim=1) / (stretch / 100).clamp(min=1))
    return torch.cat(allowed)
