r"""Bound B on the error of a map that was distilled in small steps, derived in this project; every ingredient measured.

Cut the window from t down to s, of length h, into N = h/τ steps at :math:`u_n = s + n\tau`. A teacher makes one of them
by the exponential integrator, its score ŝ frozen for the step,

.. math:: \psi(x) = e^\tau x + (e^\tau - 1)\, \hat s(x, u_{n+1}),

and a model distilled from it has learned :math:`f(x, u_{n+1}, s) \approx f(\psi(x), u_n, s)`. Let, for every n,

* :math:`E|f(x,u_{n+1},s) - f(\psi(x),u_n,s)|^2 \le \varepsilon_{cd}^2`, the consistency residual, and
  :math:`E|\hat s - \nabla\log p|^2 \le \varepsilon_{sc}^2`, the score error, under :math:`x \sim p_{u_{n+1}}`;
* :math:`f(\cdot, u_n, s)` be :math:`L_f`-Lipschitz in x;
* :math:`D = \sup_u (E|\tfrac{d}{du}\nabla\log p_u(x_u)|^2)^{1/2}` along the probability-flow ODE.

Then the map error :math:`\varepsilon_{map}^2 = E_{x\sim p_t}|f(x,t,s) - \Phi_{t\to s}(x)|^2` obeys

.. math:: \varepsilon_{map} \le N \varepsilon_{cd}
          + L_f N \big[(e^\tau - 1)\,\varepsilon_{sc} + \tfrac12 \tau^2 e^\tau D\big]
          \approx \tfrac h\tau \varepsilon_{cd} + L_f h\, (\varepsilon_{sc} + \tfrac{\tau D}{2}).

*Derivation.* Let :math:`e_n` be the root mean square of :math:`f(x,u_n,s) - \Phi_{u_n\to s}(x)` under
:math:`x \sim p_{u_n}`; :math:`e_0 = 0` since f(x, s, s) = x. For :math:`x \sim p_{u_{n+1}}` put
:math:`y = \Phi_{u_{n+1}\to u_n}(x)`, which follows :math:`p_{u_n}`, and split

.. math:: f(x,u_{n+1},s) - \Phi_{u_{n+1}\to s}(x) = [f(x,u_{n+1},s) - f(\psi(x),u_n,s)]
          + [f(\psi(x),u_n,s) - f(y,u_n,s)] + [f(y,u_n,s) - \Phi_{u_n\to s}(y)].

The triangle inequality in :math:`L^2` gives :math:`e_{n+1} \le \varepsilon_{cd} + L_f \|\psi(x) - y\| + e_n`. Backward
in time the ODE reads :math:`dx/dr = x + \nabla\log p`, so variation of constants gives y with the true score S(r) met
on the way, and

.. math:: \psi(x) - y = (e^\tau - 1)(\hat s - S(0)) + \int_0^\tau e^{\tau - r} (S(0) - S(r))\, dr,

whose norm is at most :math:`(e^\tau-1)\varepsilon_{sc} + D\int_0^\tau e^{\tau-r} r\,dr`, and the integral,
:math:`e^\tau - 1 - \tau`, is at most :math:`\tau^2 e^\tau/2`. Sum over the N steps. ∎

**The exact map's constant.** Along the backward ODE :math:`\tfrac{d}{dr}\log|\nabla\Phi\,v| \le 1 + \lambda_{\max}
(\nabla^2\log p)`, so :math:`L_\Phi \le \exp\int_s^t (1 + \lambda_{\max}(\nabla^2\log p_u))_+\, du`; the positive part
makes it hold for every shorter window too.

**What is measured is not quite what is assumed.** :math:`L_f` is a supremum over all points and D one over all times
between s and t; samples and a grid of times show lower estimates of both, so a measured right-hand side may in
principle lie below the bound.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap, Stage, jump_map_of, land, like_map, with_jacobian
from cmcore.divergences.tools.push_forward import doubled
from cmcore.flow import ExactFlow, velocity
from cmcore.process import Time, angle, time_from_angle
from cmcore.samplers.scores import Score, ScoreFunction, score_of
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.theory.interval import Interval, largest, mean
from cmcore.threads import piecewise

_LEVELS = 33
"""Times between s and t, even in angle, at which D and the exact map's constant are looked for."""
_CHUNK = 2048
_GAP = 1e-4
_INSTANT = 1e-6
"""Stands for time 0 where a derivative in time is taken."""
_QUANTILE = 0.99
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Supremum:
    """The largest value along n sampled trajectories: a lower estimate of a supremum.

    Attributes:
        value: the largest value seen.
        quantile: the 99 % quantile over trajectories.
        n: how many trajectories.
    """

    value: float
    quantile: float
    n: int

    @property
    def beyond(self) -> float:
        """With 95 % confidence no larger share of trajectories meets a larger value: 1 − 0.05^{1/n} ≈ 3/n."""
        return -math.expm1(math.log1p(-_CONFIDENCE) / self.n)


@dataclass(frozen=True)
class BoundB:
    """Both sides of Bound B, and everything on its right. Errors are root mean squares, in units of the data.

    Attributes:
        t, s: the window.
        tau: τ, so that N steps fill the window.
        substeps: N.
        score: whose score the teacher followed, the target's exact one or the model's own.
        consistency: ε_cd, the largest over the steps.
        score_error: ε_sc, the largest over the steps; 0 for the exact score.
        lipschitz: L_f, over the times u_0 … u_{N−1}; at least 1, since f(·, s, s) is the identity.
        lipschitz_exact: exp ∫(1 + λ_max)₊ du along each of the sampled exact trajectories.
        score_change: D, the largest over a grid of times.
        total: the right-hand side, with L_f at the largest value seen.
        leading: its form for small τ, h/τ ε_cd + L_f h (ε_sc + τD/2).
        map_error: ε_map, the left-hand side.
    """

    t: float
    s: float
    tau: float
    substeps: int
    score: Score
    consistency: Interval
    score_error: Interval
    lipschitz: Supremum
    lipschitz_exact: Supremum
    score_change: Interval
    total: Interval
    leading: Interval
    map_error: Interval


@piecewise()
def bound_b(
    model: Any,
    target: Target,
    *,
    t: float,
    s: float,
    tau: float,
    seed: int,
    n: int = 4096,
    score: Score = "exact",
) -> BoundB:
    """Bound B for one jump from t to s, its ingredients measured on n exact trajectories of the target.

    Args:
        model: a trained model or any map (x, t, s) → x_s that knows all times between t and s.
        target: the truth.
        t, s: the jump, t > s ≥ 0; s > 0 where the target is not smooth.
        tau: τ, the step of the teacher; made a little smaller where it does not divide the window.
        seed: of the trajectories.
        n: how many.
        score: what the teacher follows: "exact", the target's, or "model", a learned map's own.
    """
    _check(target, t, s, tau)
    substeps = max(1, math.ceil((t - s) / tau - 1e-9))
    tau = (t - s) / substeps
    f, flow = doubled(jump_map_of(model)), ExactFlow(target)
    start = target.sample(n, t=t, generator=stream(seed, f"bound B at {t:g}"))
    times = torch.linspace(t, s, substeps + 1, dtype=torch.float64)
    path = flow.path(start, times)
    followed = target.score if score == "exact" else _own_score(f, score)
    consistency = _consistency(f, followed, path[:-1], times)
    score_error = _score_error(followed, target, path[:-1], times[:-1])
    lipschitz = _lipschitz(f, path[1:-1], times[1:-1], s)
    score_change, lipschitz_exact = _along_the_flow(target, flow, start, t, s)
    one_step = score_error.scaled(math.expm1(tau)) + score_change.scaled(tau**2 * math.exp(tau) / 2)
    leading = score_error.scaled(tau) + score_change.scaled(tau**2 / 2)
    return BoundB(
        t=t,
        s=s,
        tau=tau,
        substeps=substeps,
        score=score,
        consistency=consistency,
        score_error=score_error,
        lipschitz=lipschitz,
        lipschitz_exact=lipschitz_exact,
        score_change=score_change,
        total=(consistency + one_step.scaled(lipschitz.value)).scaled(float(substeps)),
        leading=(consistency + leading.scaled(lipschitz.value)).scaled(float(substeps)),
        map_error=_root_mean_square(_evaluated(f, start, t, s) - path[-1]),
    )


def _check(target: Target, t: float, s: float, tau: float) -> None:
    if not t > s >= 0:
        raise ValueError(f"Bound B is about a jump back in time, t > s ≥ 0; got t = {t:g}, s = {s:g}.")
    if tau <= 0:
        raise ValueError(f"The teacher's step τ must be positive; got {tau:g}.")
    if s == 0 and not target.smooth:
        raise ValueError(f"The score of {target.name} changes without bound towards t = 0: choose s > 0.")


# ---- the model ------------------------------------------------------------------------------------------------------
def _evaluated(f: JumpMap, x: Float[Tensor, "n d"], t: float, s: float) -> Float[Tensor, "n d"]:
    """f(x, t, s), where f lives, brought back."""
    _, device = like_map(f)
    return land(f, x.to(device), Stage(t, s)).to(x)


def _own_score(f: JumpMap, score: Score) -> ScoreFunction:
    """The score of the map itself, where the map lives, brought back."""
    own, device = score_of(f, score)[0], like_map(f)[1]

    def here(x: Tensor, u: Time) -> Tensor:
        with torch.no_grad():
            return own(x.to(device), u).to(x)

    return here


def _consistency(f: JumpMap, score: ScoreFunction, path: Float[Tensor, "steps n d"], times: Tensor) -> Interval:
    """ε_cd: the root mean square of f(x, u_{n+1}, s) − f(ψ(x), u_n, s), largest over the steps."""
    end, residuals = float(times[-1]), []
    for x, (u, before) in zip(path, pairwise(times.tolist()), strict=True):
        taught = math.exp(u - before) * x + math.expm1(u - before) * score(x, u)
        after = taught if before == end else _evaluated(f, taught, before, end)
        residuals.append(_root_mean_square(_evaluated(f, x, u, end) - after))
    return largest(residuals)


def _score_error(score: ScoreFunction, target: Target, path: Float[Tensor, "steps n d"], times: Tensor) -> Interval:
    """ε_sc over the times of the teacher's steps."""
    errors = [score(x, u) - target.score(x, u) for x, u in zip(path, times.tolist(), strict=True)]
    return largest([_root_mean_square(error) for error in errors])


def _lipschitz(f: JumpMap, path: Float[Tensor, "steps n d"], times: Tensor, s: float) -> Supremum:
    """The largest singular value of the Jacobian of f(·, u, s) along each trajectory, over the times; 1 at u = s."""
    device = like_map(f)[1]
    stretch = torch.ones(path.shape[1], dtype=path.dtype)
    for x, u in zip(path, times.tolist(), strict=True):
        jacobians = [with_jacobian(f, piece.to(device), u, s)[1].to(path) for piece in x.split(_CHUNK)]
        stretch = torch.maximum(stretch, torch.linalg.matrix_norm(torch.cat(jacobians), ord=2))
    return _supremum(stretch)


def _root_mean_square(vectors: Float[Tensor, "n d"]) -> Interval:
    return mean(vectors.square().sum(1)).root()


def _supremum(values: Float[Tensor, " n"]) -> Supremum:
    return Supremum(float(values.max()), float(values.quantile(_QUANTILE)), len(values))


# ---- the target -----------------------------------------------------------------------------------------------------
def _along_the_flow(
    target: Target, flow: ExactFlow, start: Float[Tensor, "n d"], t: float, s: float
) -> tuple[Interval, Supremum]:
    """D, and exp ∫(1 + λ_max(∇² log p_u(x_u)))₊ du of each trajectory (trapezoidal rule)."""
    first, last = angle(torch.tensor([t, max(s, _INSTANT)], dtype=torch.float64))
    times = time_from_angle(torch.linspace(float(first), float(last), _LEVELS, dtype=torch.float64))
    times[0], times[-1] = t, max(s, _INSTANT)
    path = flow.path(start, times)
    changes, rates = [], []
    for x, u in zip(path, times.tolist(), strict=True):
        changes.append(_root_mean_square(_score_change(target, x, u)))
        rates.append(torch.cat([_stretching_rate(target, piece, u) for piece in x.split(_CHUNK)]))
    gaps = [float(later - sooner) for later, sooner in pairwise(times)]
    integral = sum(gap * (a + b) / 2 for gap, (a, b) in zip(gaps, pairwise(rates), strict=True))
    assert isinstance(integral, Tensor)
    return largest(changes), _supremum(integral.exp())


def _score_change(target: Target, x: Float[Tensor, "n d"], u: float) -> Float[Tensor, "n d"]:
    """d/du ∇log p_u(x_u) along the ODE, by a central difference: good to six digits.

    The score changes over times of about σ_u² at the fastest, which sets the gap.
    """
    gap = _GAP * -math.expm1(-2 * u)
    ahead, behind = (target.score(x + way * velocity(target, x, u), u + way) for way in (gap, -gap))
    return (ahead - behind) / (2 * gap)


def _stretching_rate(target: Target, x: Float[Tensor, "n d"], u: float) -> Float[Tensor, " n"]:
    """(1 + λ_max(∇² log p_u(x)))₊."""
    hessian = with_jacobian(lambda x, u, _: target.score(x, u), x, u, u)[1]
    return (1 + torch.linalg.eigvalsh((hessian + hessian.mT) / 2)[:, -1]).clamp_min(0)
