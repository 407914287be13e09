r"""A mixture of experts as the last step of a network (Jacobs, Jordan, Nowlan & Hinton 1991).

The last layer answers K logits a_k and K vectors v_k, and the network

.. math:: F = \sum_k p_k v_k, \quad p = \mathrm{softmax}(\beta a).

A few-step map sends the two sides of a thin line in noise to modes far apart. One smooth function that is so steep
there overshoots beside it; here the shares p_k alone turn over at the line, and what each v_k answers stays smooth.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.config import NetworkConfig

SHARPNESS = 4.0
"""β: logits grow by the steps of the optimiser, and the shares turn over so many times as fast."""
SPREAD = 0.5
"""Standard deviation of the vectors' first biases, which tells the experts apart."""


class Experts:
    """How the outputs of a last layer become an answer; with a single expert they are the answer.

    Args:
        count: K.
        dim: d.
    """

    def __init__(self, count: int, dim: int) -> None:
        self.count, self.dim = count, dim

    @classmethod
    def of(cls, config: NetworkConfig, dim: int) -> "Experts":
        """As many as the config asks for, and no more than leave the last layer as narrow as a hidden one."""
        return cls(max(1, min(config.experts or 1, config.width // (dim + 1))), dim)

    @property
    def outputs(self) -> int:
        """Of the last layer: the logits, then the vectors one after another."""
        return self.dim if self.count == 1 else self.count * (self.dim + 1)

    @torch.no_grad()
    def spread(self, bias: nn.Parameter, generator: torch.Generator | Sequence[torch.Generator]) -> None:
        """Tell the experts apart, by the bias of the last layer."""
        if self.count == 1:
            return
        single = isinstance(generator, torch.Generator)
        for part, source in zip([bias] if single else bias, [generator] if single else generator, strict=True):
            part[self.count :].normal_(0.0, SPREAD, generator=source)

    def mixed(self, raw: Float[Tensor, "*m n outputs"]) -> Float[Tensor, "*m n d"]:
        """F."""
        if self.count == 1:
            return raw
        shares, vectors = self._parts(raw)
        return _joined(shares, vectors)

    def mixed_with_tangent(
        self, raw: Float[Tensor, "*m n outputs"], tangent: Float[Tensor, "*k n outputs"]
    ) -> tuple[Float[Tensor, "*m n d"], Float[Tensor, "*k n d"]]:
        """F and its derivative, or several, given those of the outputs."""
        if self.count == 1:
            return raw, tangent
        shares, vectors = self._parts(raw)
        logits_by, vectors_by = self._split(tangent)
        shares_by = SHARPNESS * shares * (logits_by - (shares * logits_by).sum(-2, keepdim=True))
        return _joined(shares, vectors), _joined(shares_by, vectors) + _joined(shares, vectors_by)

    @torch.no_grad()
    def pulled(self, raw: Float[Tensor, "*m n outputs"]) -> tuple[Float[Tensor, "*m n d"], Callable[[Tensor], Tensor]]:
        """F, and what takes a gradient of it to one of the outputs, without a tape."""
        if self.count == 1:
            return raw, lambda gradient: gradient
        shares, vectors = self._parts(raw)

        def back(gradient: Tensor) -> Tensor:
            by_vector = gradient.mT.unsqueeze(-3)
            along = (vectors * by_vector).sum(-2)
            logits = SHARPNESS * shares * (along - (shares * along).sum(-2, keepdim=True))
            of_vectors = (shares.unsqueeze(-2) * by_vector).flatten(-3, -2)
            return torch.cat((logits, of_vectors), dim=-2).mT

        return _joined(shares, vectors), back

    def _parts(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The shares [..., K, n] and the vectors [..., K, d, n]; points run along the last axis, which is faster."""
        logits, vectors = self._split(raw)
        return (SHARPNESS * logits).softmax(-2), vectors

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        columns = raw.mT
        return columns[..., : self.count, :], columns[..., self.count :, :].unflatten(-2, (self.count, self.dim))


def _joined(shares: Tensor, vectors: Tensor) -> Tensor:
    """Σ_k share_k · vector_k, [..., n, d]."""
    return (shares.unsqueeze(-2) * vectors).sum(-3).mT
