r"""Products of one-dimensional laws, with an optional rotation: exact in any dimension.

For a product everything is coordinate-wise, :math:`\log p_t(x) = \sum_i \log p^{(i)}_t(x_i)`, so that d = 10⁶ costs a
million one-dimensional evaluations and no d × d matrix. An orthogonal rotation Q, :math:`X = QY`, hides the product and
changes nothing else: the noise is rotation-invariant.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import Time
from cmcore.targets.base import Parameters, Target


class Product(Target):
    """The law of X = Q Y, where the coordinates of Y are independent.

    Args:
        factors: one-dimensional targets, or pairs (target, count) for `count` coordinates in a row with the same law.
        rotation: Q, an orthogonal [d, d] matrix; None for the identity.
        name: what people call it.

    Raises:
        ValueError: a factor that is not one-dimensional, a count below 1, a rotation that is not orthogonal.
    """

    def __init__(
        self,
        factors: Sequence[Target | tuple[Target, int]],
        *,
        rotation: Float[Tensor, "d d"] | None = None,
        name: str = "product",
    ) -> None:
        self.name = name
        self.factors: tuple[tuple[Target, int], ...] = tuple(
            factor if isinstance(factor, tuple) else (factor, 1) for factor in factors
        )
        if not self.factors or any(factor.dim != 1 or count < 1 for factor, count in self.factors):
            raise ValueError("A product needs one-dimensional factors, each repeated at least once.")
        self.dim = sum(count for _, count in self.factors)
        self.rotation = None if rotation is None else _checked_rotation(rotation, self.dim)
        self.parameters = Parameters(self.rotation)
        self.smooth = all(factor.smooth for factor, _ in self.factors)
        self.has_density = all(factor.has_density for factor, _ in self.factors)

    # ---- density and score --------------------------------------------------------------------------------------
    def log_prob(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, " n"]:
        y = self.unrotate(x.double())
        parts = [per_coordinate(factor.log_prob, y[:, c], t).sum(1) for factor, c in self.columns()]
        return torch.stack(parts).sum(0).to(x)

    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n d"]:
        y = self.unrotate(x.double())
        parts = [per_coordinate(factor.score, y[:, c], t) for factor, c in self.columns()]
        return self.rotate(torch.cat(parts, dim=1)).to(x)

    # ---- the coordinates in which the law is a product ----------------------------------------------------------
    def columns(self) -> Iterator[tuple[Target, slice]]:
        """Each factor with the coordinates of Y that follow it."""
        start = 0
        for factor, count in self.factors:
            yield factor, slice(start, start + count)
            start += count

    def rotate(self, y: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """x = Q y for every row."""
        if self.rotation is None:
            return y
        exact = y.double()
        (rotation,) = self.parameters.like(exact)
        return (exact @ rotation.T).to(y)

    def unrotate(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """y = Qᵀ x for every row."""
        if self.rotation is None:
            return x
        exact = x.double()
        (rotation,) = self.parameters.like(exact)
        return (exact @ rotation).to(x)

    # ---- sampling and moments -----------------------------------------------------------------------------------
    def sample_data(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "{n} d"]:
        parts = [factor.sample_data(n * count, generator=generator).view(n, count) for factor, count in self.factors]
        return self.rotate(torch.cat(parts, dim=1))

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.rotate(self._per_column(lambda factor: factor.mean[0])[None])[0]

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """Cov X₀, float64; built when asked for, d² numbers."""
        variances = self._per_column(lambda factor: factor.covariance[0, 0])
        if self.rotation is None:
            return torch.diag(variances)
        return (self.rotation * variances) @ self.rotation.T

    @property
    def second_moment(self) -> float:
        return sum(count * factor.second_moment for factor, count in self.factors)

    def _per_column(self, moment: Callable[[Target], Tensor]) -> Float[Tensor, " d"]:
        return torch.cat([moment(factor).expand(count) for factor, count in self.factors])


def per_coordinate(
    function: Callable[[Tensor, Time], Tensor], y: Float[Tensor, "n c"], t: Time
) -> Float[Tensor, "n c"]:
    """function, made for points [m, 1], at every entry of y; a t per point holds for all its coordinates."""
    return function(y.reshape(-1, 1), repeated(t, y.shape[1])).reshape(y.shape)


def repeated(t: Time, count: int) -> float | int | Tensor:
    """A time for every coordinate: one for all stays one, one per point is repeated `count` times."""
    return t.repeat_interleave(count) if isinstance(t, Tensor) and t.ndim == 1 else t


def random_rotation(dim: int, *, generator: torch.Generator) -> Float[Tensor, "d d"]:
    """An orthogonal matrix drawn from the Haar measure, float64 (QR of a Gaussian matrix, signs fixed)."""
    gaussian = torch.randn(dim, dim, generator=generator, dtype=torch.float64, device=generator.device)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()


def _checked_rotation(rotation: Tensor, dim: int) -> Tensor:
    rotation = torch.as_tensor(rotation, dtype=torch.float64).cpu()
    if rotation.shape != (dim, dim):
        raise ValueError(
            f"The rotation of a product of {dim} coordinates is [{dim}, {dim}]; got {tuple(rotation.shape)}."
        )
    if not torch.allclose(rotation @ rotation.T, torch.eye(dim, dtype=torch.float64), atol=1e-9):
        raise ValueError("The rotation must be orthogonal: Q Qᵀ = I.")
    return rotation
