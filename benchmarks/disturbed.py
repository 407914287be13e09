"""A map with an error of a chosen size, for benchmarks: the exact one of N(0, I), the identity, and a network."""

import torch

import cmcore as cm
from cmcore.process import angle


class Disturbed(torch.nn.Module):
    """x + a (t − s) F(x, t, s) with the answer F of a network."""

    def __init__(self, network: cm.FlowMap, amount: float) -> None:
        super().__init__()
        self.network, self.amount = network, amount

    def forward(self, x, t, s):
        theta, earlier = (angle(torch.tensor([[u]], dtype=x.dtype)) for u in (t, s))
        return x + self.amount * (t - s) * self.network.direction(x, theta, theta - earlier)
