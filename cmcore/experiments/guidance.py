r"""E15: what classifier-free guidance draws, beside the tilted law that it is often taken for.

A class c has the law :math:`p(x|c)` within all data, p. Guidance with weight w follows the probability-flow ODE of

.. math:: s_w(x, t) = (1 - w)\nabla\log p_t(x) + w\nabla\log p_t(x|c),

so that w = 0 is all data, w = 1 the class, and w > 1 overshoots. At t = 0 this is the score of the tilted law
:math:`\propto p(x)^{1-w} p(x|c)^w`; at t > 0 it is not the score of that law's noised version, since tilting and
adding noise do not commute (Bradley & Nakkiran, arXiv:2408.09000). On the line the guided flow is monotone, so what it
draws has a density by change of variables, and the tilted law one by quadrature.

For N(0, σ²) within N(0, 1) the flow is linear: with :math:`\sigma_T^2 = 1 + (\sigma^2 - 1)e^{-2T}` its draws from
N(0, 1) at T are :math:`N(0, (\sigma^2/\sigma_T^2)^w)`, where the tilted law is :math:`N(0, 1/(1 - w + w/\sigma^2))`.
"""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from cmcore.divergences import MODEL_DATA
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Role, Series
from cmcore.process import angle, time_from_angle
from cmcore.targets.gaussian_mixture import GaussianMixture

Case = Literal["narrow", "two", "far_mode"]
CASES: Mapping[Case, str] = {
    "narrow": "a narrow class at the centre of the data",
    "two": "two classes that overlap",
    "far_mode": "a class of two modes, one of them shared",
}
_NOISE = (9.0, 601)
"""Noise that is followed: as far out on either side, and how many points of it."""
_LAWS = (14.0, 28_001)
"""The same of the line on which the tilted law is summed up."""
_SHOWN = 301
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ClassInData:
    """A class within all data, both mixtures on the line."""

    data: GaussianMixture
    of_class: GaussianMixture
    parting: float
    """Where the class falls into two parts whose masses are worth comparing."""


def class_in_data(case: Case, sd: float) -> ClassInData:
    """The law of a case; `sd` is the standard deviation of the class, or of each of its modes."""
    variance = sd**2
    if case == "narrow":
        return ClassInData(_mixture((0.0,), (1.0,)), _mixture((0.0,), (variance,)), 0.0)
    if case == "two":
        return ClassInData(_mixture((-1.0, 1.0), (variance,) * 2), _mixture((1.0,), (variance,)), 0.0)
    data = _mixture((-1.5, 1.0, 1.0), (variance,) * 3)
    return ClassInData(data, _mixture((-1.5, 1.0), (variance,) * 2), -0.25)


def _mixture(means: tuple[float, ...], variances: tuple[float, ...]) -> GaussianMixture:
    n = len(means)
    return GaussianMixture([1 / n] * n, [[mean] for mean in means], list(variances))


@dataclass(frozen=True)
class Guided:
    """What guidance draws from noise N(0, 1), and the tilted law, each with its density.

    Attributes:
        law: the class within the data.
        weight: w.
        noise: the points of noise, [n], increasing.
        ends: where the guided flow takes them, [n], in the same order.
        log_stretch: log of the flow's derivative there, [n].
    """

    law: ClassInData
    weight: float
    noise: Float[Tensor, " n"]
    ends: Float[Tensor, " n"]
    log_stretch: Float[Tensor, " n"]

    def log_tilted(self, x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The log density of the tilted law, in nats."""
        return self._log_tilt(x) - self._log_normaliser

    @property
    def log_drawn(self) -> Float[Tensor, " n"]:
        """The log density of what guidance draws, at `ends`."""
        return self._log_noise - self.log_stretch

    @property
    def kl(self) -> float:
        """KL(draws‖tilted law), in nats, by quadrature over the noise."""
        inside = self._log_noise.exp() * (self.log_drawn - self.log_tilted(self.ends))
        return float(torch.trapezoid(inside, self.noise))

    @property
    def shares(self) -> tuple[float, float]:
        """The mass left of the law's parting: of the tilted law, and of what guidance draws."""
        line = torch.linspace(-_LAWS[0], self.law.parting, _LAWS[1], dtype=torch.float64)
        tilted = float(torch.trapezoid(self.log_tilted(line).exp(), line))
        reached = _crossing(self.ends, self.noise, self.law.parting)
        return tilted, 0.5 * math.erfc(-reached / math.sqrt(2))

    @property
    def _log_noise(self) -> Tensor:
        return -self.noise.square() / 2 - math.log(2 * math.pi) / 2

    def _log_tilt(self, x: Tensor) -> Tensor:
        points = x[:, None]
        return (1 - self.weight) * self.law.data.log_prob(points) + self.weight * self.law.of_class.log_prob(points)

    @property
    def _log_normaliser(self) -> float:
        line = torch.linspace(-_LAWS[0], _LAWS[0], _LAWS[1], dtype=torch.float64)
        return float(torch.logsumexp(self._log_tilt(line), 0)) + math.log(float(line[1] - line[0]))


def guided(law: ClassInData, weights: Sequence[float], *, horizon: float) -> list[Guided]:
    """Guidance of each weight, started from N(0, 1) at the horizon T; all are followed together.

    The ODE is solved for the points and the logs of their derivatives, in angle, where the flow is evenly paced.
    """
    from torchdiffeq import odeint

    noise = torch.linspace(-_NOISE[0], _NOISE[0], _NOISE[1], dtype=torch.float64)
    weight = torch.tensor(weights, dtype=torch.float64).repeat_interleave(len(noise))

    def pace(theta: Tensor, state: Tensor) -> Tensor:
        with torch.enable_grad():
            x = state[0].detach().requires_grad_()
            velocity = -torch.tan(theta) * (x + _guided_score(law, x, time_from_angle(theta), weight))
            (slope,) = torch.autograd.grad(velocity.sum(), x)
        return torch.stack([velocity.detach(), slope])

    begin = torch.stack([noise.repeat(len(weights)), torch.zeros_like(weight)])
    span = angle(torch.tensor([horizon, 0.0], dtype=torch.float64))
    # Where nothing moves the solver's own first step is 0, and its next would pass the end.
    options = {"first_step": 0.01, "step_t": span[1:]}
    states = odeint(pace, begin, span, rtol=_TOLERANCE, atol=_TOLERANCE, method="dopri5", options=options)
    assert isinstance(states, Tensor)
    ends, log_stretch = states[-1].reshape(2, len(weights), -1)
    return [Guided(law, w, noise, *parts) for w, *parts in zip(weights, ends, log_stretch, strict=True)]


def _guided_score(law: ClassInData, x: Tensor, t: Tensor, weight: Tensor) -> Tensor:
    """s_w(x, t) of points [n] with a weight each."""
    points = x[:, None]
    return (1 - weight) * law.data.score(points, t)[:, 0] + weight * law.of_class.score(points, t)[:, 0]


def _crossing(y: Tensor, x: Tensor, level: float) -> float:
    """The x at which an increasing y passes a level, between its points by a straight line."""
    after = int(torch.searchsorted(y, torch.tensor(level, dtype=y.dtype)).clamp(1, len(y) - 1))
    share = float((level - y[after - 1]) / (y[after] - y[after - 1]))
    return float(x[after - 1]) + share * float(x[after] - x[after - 1])


def narrow_kl(weight: float, sd: float, horizon: float) -> float:
    """KL(draws‖tilted law) of the case `narrow` in closed form, in nats."""
    at_horizon = 1 + (sd**2 - 1) * math.exp(-2 * horizon)
    ratio = (sd**2 / at_horizon) ** weight * (1 - weight + weight / sd**2)
    return (ratio - 1 - math.log(ratio)) / 2


@EXPERIMENTS.register("guidance")
class Guidance(Experiment):
    """What guidance of a growing weight draws, beside the tilted law: densities, KL and the mass of a mode."""

    code: ClassVar[str] = "E15"
    label: ClassVar[str] = "Guidance"
    question: ClassVar[str] = "Does guidance draw from the tilted law?"
    expects: ClassVar[str] = (
        "Reported by others (arXiv:2408.09000): it does not, since the tilt of the noised laws is not the noised tilt. "
        "Derived here, after them: for N(0, σ²) within N(0, 1) guidance draws N(0, σ²ʷ) from far out, where the "
        "tilted law is N(0, 1/(1 − w + w/σ²)); the two agree at w = 0 and w = 1."
    )

    weight: float = Field(3.0, ge=0, le=10, description="w of the densities; 0 is all data, 1 the class")
    case: Case = Field("far_mode", description="law of the class whose densities are shown")
    weights: tuple[float, ...] = Field(
        (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
        min_length=2,
        max_length=16,
        description="w of the KL, each between 0 and 10",
    )
    sd: float = Field(0.5, ge=0.25, le=0.9, description="σ of the class, or of each of its modes")
    horizon: float = Field(8.0, ge=3, le=10, description="T, where the noise starts")

    @model_validator(mode="after")
    def _possible(self) -> "Guidance":
        if any(not 0 <= w <= 10 for w in self.weights):
            raise ValueError("Every weight of the KL lies between 0 and 10.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        yield Progress(0.0, "densities")
        series = self._densities()
        weights = sorted(set(self.weights))
        shares: list[tuple[float, float]] = []
        facts: dict[str, float] = {}
        for i, (case, words) in enumerate(CASES.items()):
            yield Progress((i + 1) / (len(CASES) + 1), words)
            laws = guided(class_in_data(case, self.sd), weights, horizon=self.horizon)
            kls = [law.kl for law in laws]
            if case == "far_mode":
                shares = [law.shares for law in laws]
            series.append(_line(words, "model", "kl", (weights, kls), _HOW))
            facts |= {f"KL, {case}, w = {w:g}": kl for w, kl in zip(weights, kls, strict=True)}
        closed = [narrow_kl(w, self.sd, self.horizon) for w in weights]
        series.append(_line("narrow class, closed form", "exact", "kl", (weights, closed), "Two Gaussians: no error"))
        how = "mass left of the parting of the two modes, by quadrature and by the noise that ends there"
        series.append(_line("tilted law", "exact", "mode", (weights, [tilted for tilted, _ in shares]), how))
        series.append(_line("guidance", "model", "mode", (weights, [drawn for _, drawn in shares]), how))
        return Result(
            experiment="guidance",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=tuple(series),
            reading=_reading(weights, facts, shares),
            facts=facts,
            seconds=time.perf_counter() - started,
        )

    def _densities(self) -> list[Series]:
        """The class, the tilted law and the draws of the one case at the one weight."""
        (of_weight,) = guided(class_in_data(self.case, self.sd), [self.weight], horizon=self.horizon)
        line = torch.linspace(-3.5, 3.5, _SHOWN, dtype=torch.float64)
        of_class = of_weight.law.of_class.log_prob(line[:, None]).exp()
        drawn = _between(of_weight.ends, of_weight.log_drawn, line).exp()
        x = line.tolist()
        return [
            _line("the class, w = 1", "baseline", "densities", (x, of_class.tolist()), "closed form"),
            _line("tilted law", "exact", "densities", (x, of_weight.log_tilted(line).exp().tolist()), "by quadrature"),
            _line("guidance", "model", "densities", (x, drawn.tolist()), "change of variables through the guided flow"),
        ]

    def _panels(self) -> tuple[Panel, ...]:
        w = Axis(label="guidance weight w")
        title = f"Densities at w = {self.weight:g}: {CASES[self.case]}"
        return (
            Panel(name="densities", x=Axis(label="x"), y=Axis(label="density"), title=title),
            Panel(name="kl", x=w, y=Axis(label="KL(draws‖tilted law), nats"), title=f"{MODEL_DATA} of guidance"),
            Panel(name="mode", x=w, y=Axis(label="mass of the far mode"), title="The mode that is the class's alone"),
        )


_HOW = f"{MODEL_DATA}: draws of guidance against the tilted law, quadrature over {_NOISE[1]} points of noise in float64"


def _line(label: str, role: Role, panel: str, points: tuple[list[float], list[float]], how: str) -> Series:
    x, y = points
    return Series(label=label, role=role, panel=panel, x=tuple(x), y=tuple(y), how=how)


def _between(at: Tensor, values: Tensor, points: Tensor) -> Tensor:
    """Values at points between increasing `at`, by straight lines; −∞ beyond them."""
    after = torch.searchsorted(at, points).clamp(1, len(at) - 1)
    share = (points - at[after - 1]) / (at[after] - at[after - 1])
    inside = values[after - 1] + share * (values[after] - values[after - 1])
    return torch.where((points < at[0]) | (points > at[-1]), -math.inf, inside)


def _reading(weights: list[float], facts: Mapping[str, float], shares: list[tuple[float, float]]) -> str:
    last = weights[-1]
    kls = [facts[f"KL, {case}, w = {last:g}"] for case in CASES]
    tilted, drawn = shares[-1]
    agree = [w for w in weights if all(abs(facts[f"KL, {case}, w = {w:g}"]) < 1e-6 for case in CASES)]
    at = ", ".join(f"{w:g}" for w in agree) or "none of the weights"
    return (
        f"Guidance and the tilted law agree (KL below 1e-6) at w = {at}. At w = {last:g} the KL is {min(kls):.3g} to "
        f"{max(kls):.3g} nats over the three classes. The mode that only this class has holds {tilted:.1%} of the "
        f"tilted law at that weight and {drawn:.1%} of what guidance draws."
    )
