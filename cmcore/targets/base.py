r"""What a target is: a law p₀ on R^d whose density and score are exact at every noise level.

:math:`p_t` is the law of :math:`e^{-t} X_0 + \sqrt{1 - e^{-2t}}\, Z` (see :mod:`cmcore.process`). A target states
whether p₀ has a density at all, and whether it is smooth (a Lipschitz score at t = 0).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.config import TargetConfig
from cmcore.process import Time, alpha, column, forward_noise, sigma, some_at_zero
from cmcore.streams import in_blocks
from cmcore.threads import joined, piecewise


class NoDensity(ValueError):
    """Asked for the density or score of a law that has none at that time."""


@runtime_checkable
class Described(Protocol):
    """What is known of a target before it is made: enough to say whether an objective can learn it."""

    @property
    def name(self) -> str: ...
    @property
    def smooth(self) -> bool: ...
    @property
    def has_score(self) -> bool: ...
    @property
    def default_delta(self) -> float: ...


def default_delta(*, smooth: bool) -> float:
    """The default δ: 0 where the score is Lipschitz there, else 0.01."""
    return 0.0 if smooth else 0.01


class Parameters:
    """The parameters of a law as tensors, and copies of them wherever points have asked for some.

    Whole numbers, which are indices, keep their dtype; None stays None.
    """

    def __init__(self, *parts: Tensor | None) -> None:
        self._parts = parts
        self._copies: dict[tuple[torch.dtype, torch.device], tuple[Any, ...]] = {}

    def like(self, x: Tensor) -> tuple[Any, ...]:
        """The parameters in the dtype and on the device of x."""
        key = (x.dtype, x.device)
        if key not in self._copies:
            self._copies[key] = tuple(part if part is None else _like(part, x) for part in self._parts)
        return self._copies[key]


def _like(part: Tensor, x: Tensor) -> Tensor:
    return part.to(x) if part.is_floating_point() else part.to(x.device)


class Target(ABC):
    """A law p₀ on R^d, exact at every noise level.

    Attributes:
        name: what people call it.
        dim: d.
        smooth: whether p₀ has a density with a Lipschitz score. Smooth targets may be sampled down to δ = 0.
        has_density: whether p₀ has a density. Without one, `log_prob` and `score` need t > 0.
        has_score: whether density and score are known at all. Without them there are samples, and nothing exact.
        config: the gallery name and parameters this target was made from; None when it was made otherwise.

    Device and dtype of every answer follow the input x; what it comes from is computed in float64, with parameters that
    are copied once to every device that is asked for. Nothing here makes the host wait for a GPU. So times that lie
    there are not looked at: where p₀ has no density, or no score, the answer for a time of 0 is then no finite number.
    """

    name: str = "target"
    dim: int
    smooth: bool
    has_density: bool
    has_score: bool = True
    config: TargetConfig | None = None

    # ---- what a new target writes -------------------------------------------------------------------------------
    @abstractmethod
    def sample_data(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "{n} d"]:
        """n independent draws of X₀, float64, on the generator's device."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, " n"]:
        """log p_t(x) in nats. Raises :class:`NoDensity` at t = 0 where p₀ has no density."""

    @abstractmethod
    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n d"]:
        """∇ₓ log p_t(x). Raises :class:`NoDensity` at t = 0 where p₀ has no density."""

    @property
    @abstractmethod
    def mean(self) -> Float[Tensor, " d"]:
        """E X₀, float64."""

    @property
    @abstractmethod
    def covariance(self) -> Float[Tensor, "d d"]:
        """Cov X₀, float64."""

    # ---- what a target may add ----------------------------------------------------------------------------------
    @property
    def law(self) -> "Target":
        """The law itself, where this target only carries something beside one (a table's columns, say)."""
        return self

    def log_tails(self, x: Float[Tensor, " n"], t: Time) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """log F_t(x) and log(1 − F_t(x)), F_t the cdf of p_t; in nats, d = 1, each accurate where it is small."""
        raise NotImplementedError(f"{self.name} offers no cdf.")

    # ---- what follows from it -----------------------------------------------------------------------------------
    @property
    def second_moment(self) -> float:
        """M₂ = E|X₀|²."""
        return float(self.mean.square().sum() + self.covariance.diagonal().sum())

    @property
    def components(self) -> int:
        """Terms summed in one evaluation of the density: what a score costs, in units of a Gaussian's."""
        return 1

    @property
    def default_delta(self) -> float:
        """The δ to stop at unless told: 0 where the score is Lipschitz there, else 0.01."""
        return default_delta(smooth=self.smooth)

    def sample(
        self, n: int, *, generator: torch.Generator, t: float = 0.0, dtype: torch.dtype = torch.float64
    ) -> Float[Tensor, "{n} d"]:
        """n independent draws of X_t ~ p_t, on the generator's device; the first do not depend on how many follow."""

        def draw(rows: int) -> Tensor:
            data = self.sample_data(rows, generator=generator)
            return (forward_noise(data, t, generator=generator) if t > 0 else data).to(dtype)

        return in_blocks(draw, n, self.dim)

    def posterior_mean(self, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
        """E[X₀ | X_t = x] = (x + σ_t² ∇log p_t(x)) / α_t (Tweedie's formula)."""
        time = column(t, x)
        return (x + sigma(time) ** 2 * self.score(x, t)) / alpha(time)

    def _require_one_dimension(self) -> None:
        if self.dim != 1:
            raise ValueError(f"A cdf needs d = 1; {self.name} has d = {self.dim}.")

    def _require_density(self, t: Time) -> None:
        if not self.has_density and some_at_zero(t):
            raise NoDensity(
                f"{self.name} has no density at t = 0: its mass lies on points or curves. Ask at a time t > 0."
            )

    def __repr__(self) -> str:
        kind = "smooth" if self.smooth else "not smooth" if self.has_density else "no density at t = 0"
        return f"<{type(self).__name__} {self.name!r}, d = {self.dim}, {kind}>"


@piecewise()
def exactly(function: Callable[[Tensor, Time], Tensor], x: Float[Tensor, "n d"], t: Time, rows: int) -> Tensor:
    """function(x, t) in float64 whatever the dtype of x, in pieces of so many rows, which bounds its memory.

    Products of float32 matrices may be anything from float32 to bfloat16, as a user has set torch; those of float64
    are what they say, and the pieces hardly cost more.
    """
    points = x.double()
    if not (isinstance(t, Tensor) and t.ndim == 1):
        return joined(lambda x: function(x, t), points, rows=rows).to(x)
    return joined(function, points, t.double(), rows=rows).to(x)
