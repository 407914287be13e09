r"""A two-time map made of anybody's network: its path, time, scale and dtype are converted to this project's.

Here a point at time t is :math:`x = \alpha_t x_0 + \sigma_t \epsilon`, of data of about unit scale. A network learned
points

.. math:: z = a(\tau)\,(c + k\,x_0) + b(\tau)\,\epsilon

on a path (a, b) with a time τ of its own, and data c + k x₀ in their own units. The point at t is the one at the τ with
:math:`b/(k a) = \sigma_t/\alpha_t`, and there :math:`z = a c + (k a/\alpha_t)\,x`.

==================  =====================  ==========================================================================
path                a(τ), b(τ)             who writes it so
==================  =====================  ==========================================================================
linear              1 − τ, τ               rectified flow, MeanFlow
flow_matching       τ, 1 − τ               flow matching with the data at τ = 1 (torchcfm)
ve                  1, τ                   EDM, consistency models: τ is the noise level σ
vp                  cos τ, sin τ           TrigFlow; DDPM with `time` from the angle to its steps
==================  =====================  ==========================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.process import Time, alpha, column, noise_level

Prediction = Literal["velocity", "x0", "eps", "score", "consistency", "average_velocity", "flow_map"]
"""What a network answers: dz/dτ, E[data|z], E[ε|z] or ∇ log p at (z, τ); the point of the data that its path leads to;
or, asked for two times, the average velocity between them or the point at the second."""


@dataclass(frozen=True)
class Path:
    """A path from data to noise, z = a(τ) · data + b(τ) · ε.

    Attributes:
        coefficients: τ → (a, b).
        slopes: τ → (da/dτ, db/dτ).
        time_of: b/a → τ.
    """

    coefficients: Callable[[Tensor], tuple[Tensor, Tensor]]
    slopes: Callable[[Tensor], tuple[Tensor, Tensor]]
    time_of: Callable[[Tensor], Tensor]


def _constant(value: float) -> Callable[[Tensor], Tensor]:
    return lambda tau: torch.full_like(tau, value)


_zero, _one, _minus_one = _constant(0.0), _constant(1.0), _constant(-1.0)

PATHS = {
    "linear": Path(lambda r: (1 - r, r), lambda r: (_minus_one(r), _one(r)), lambda level: level / (1 + level)),
    "flow_matching": Path(lambda u: (u, 1 - u), lambda u: (_one(u), _minus_one(u)), lambda level: 1 / (1 + level)),
    "ve": Path(lambda v: (_one(v), v), lambda v: (_zero(v), _one(v)), lambda level: level),
    "vp": Path(lambda a: (a.cos(), a.sin()), lambda a: (-a.sin(), a.cos()), torch.atan),
}
"""The paths of the module's head, by name."""


class WrappedMap(nn.Module):
    """A network of anybody's as a map f(x, t, s) of this project's points and times; made by :func:`wrap`."""

    shift: Tensor

    def __init__(
        self,
        network: Any,
        predicts: str,
        path: Path,
        *,
        scale: float,
        shift: Float[Tensor, " d"] | float,
        time: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.predicts = predicts
        self.path = path
        self.scale = scale
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.float64), persistent=False)
        self.time = time

    def forward(self, x: Float[Tensor, "n d"], t: Time, s: Time) -> Float[Tensor, "n d"]:
        """Jump from time t to the earlier time s; each is one number or one per point."""
        start, end = self._place(x, t), self._place(x, s)
        z = self._shifted(start) + start.factor * x
        if self.predicts == "consistency":
            return (self._answer(z, start.tau) - self.shift.to(x)) / self.scale
        y = (self._land(z, start, end) - self._shifted(end)) / end.factor
        return torch.where(column(t, x) == column(s, x), x, y)  # also where no noise is left to be divided by

    def _place(self, x: Tensor, t: Time) -> "_Place":
        level = noise_level(column(t, x))
        tau = self.path.time_of(level * self.scale)
        a, b = self.path.coefficients(tau)
        return _Place(tau, a, b, self.scale * a / alpha(column(t, x)))

    def _shifted(self, at: "_Place") -> Tensor:
        return at.a * self.shift.to(at.a)

    def _land(self, z: Tensor, start: "_Place", end: "_Place") -> Tensor:
        """Where z is at the end, in the network's units."""
        if self.predicts == "flow_map":
            return self._answer(z, start.tau, end.tau)
        if self.predicts == "average_velocity":
            return z + (end.tau - start.tau) * self._answer(z, start.tau, end.tau)
        answer = self._answer(z, start.tau)
        data, noise = self._data_and_noise(z, start, answer)
        return end.a * data + end.b * noise

    def _data_and_noise(self, z: Tensor, at: "_Place", answer: Tensor) -> tuple[Tensor, Tensor]:
        """The data and the noise that the network sees in z."""
        if self.predicts == "x0":
            return answer, (z - at.a * answer) / at.b
        if self.predicts == "velocity":
            da, db = self.path.slopes(at.tau)
            det = at.a * db - da * at.b
            return (db * z - at.b * answer) / det, (at.a * answer - da * z) / det
        noise = answer if self.predicts == "eps" else -at.b * answer
        return (z - at.b * noise) / at.a, noise

    def _answer(self, z: Tensor, *taus: Tensor) -> Tensor:
        """What the network says, with times as it takes them, [n] each."""
        times = [tau.expand(len(z), 1)[:, 0] for tau in taus]
        answer = self.network(z, *(times if self.time is None else map(self.time, times)))
        return answer.to(z)


@dataclass(frozen=True)
class _Place:
    """A time of the lab's on a path: τ, a, b, and what x is multiplied by, [n, 1] or [1, 1] each."""

    tau: Tensor
    a: Tensor
    b: Tensor
    factor: Tensor


def wrap(
    network: Any,
    *,
    predicts: str,
    path: str | Path = "linear",
    scale: float = 1.0,
    shift: Any = 0.0,
    time: Callable[[Tensor], Tensor] | None = None,
) -> WrappedMap:
    r"""A map f(x, t, s) for `cm.kl`, `cm.sample` and `cm.kl_versus_steps`, made of a network trained elsewhere.

    A network of one time is stepped from t to s with what it sees there held fixed: data and noise from its answer,
    :math:`z_s = a_s \hat x_0 + b_s \hat\epsilon` (DDIM, and an Euler step of the linear path). One that predicts
    "consistency" lands on the data whatever s is: measure it with one jump, or with `sampler="one_time"`.

    Args:
        network: called with points z [n, d] and τ [n], or with τ at the start and at the end where it predicts
            something of two times; a module is asked in the dtype and on the device of its weights, any other function
            in float64. For other arguments hand over a function that calls it.
        predicts: "velocity" dz/dτ, "x0" (the denoiser), "eps", "score", "consistency", "average_velocity" or
            "flow_map".
        path: "linear", "flow_matching", "ve" or "vp" (see the module's head), or a :class:`Path` of your own.
        scale, shift: k and c: the data it was trained on are c + k x₀, with x₀ the target's.
        time: from the path's τ to the number that the network takes; by default τ itself. EDM's networks often take
            `lambda sigma: sigma.log() / 4`, and variance-preserving ones of the Ornstein–Uhlenbeck time
            `lambda angle: -angle.cos().log()`.

    Raises:
        ValueError: an unknown prediction or path, or a scale that is not above 0.
    """
    if not callable(network):
        raise ValueError(f"Expected a network or a function of (z, τ); got {type(network).__name__}.")
    if predicts not in get_args(Prediction):
        raise ValueError(f"A network predicts one of {', '.join(get_args(Prediction))}; got {predicts!r}.")
    if not isinstance(path, Path) and path not in PATHS:
        raise ValueError(f"A path is one of {', '.join(PATHS)}, or a Path; got {path!r}.")
    if not scale > 0:
        raise ValueError(f"The scale of the data is above 0; got {scale!r}.")
    chosen = path if isinstance(path, Path) else PATHS[path]
    return WrappedMap(network, predicts, chosen, scale=float(scale), shift=shift, time=time)
