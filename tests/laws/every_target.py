"""The targets every law is tried on, and how far each is from obeying it.

The tests assert these numbers; `python -m benchmarks.targets` prints them.
"""

import math

import torch
from torch import Tensor

from cmcore.flow import ExactFlow
from cmcore.process import alpha, sigma
from cmcore.targets import (
    GALLERY,
    BoxMixture,
    CircleMixture,
    Empirical,
    GaussianMixture,
    Product,
    Target,
    make_target,
    random_rotation,
)


def _hand_made() -> dict[str, Target]:
    generator = torch.Generator().manual_seed(5)
    points = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    two = GaussianMixture([1, 3], [[-1.0], [1.5]], [0.02**2, 0.3])
    box = BoxMixture([1, 2], [[-1.0], [0.5]], [[0.0], [0.8]])
    return {
        "small blobs": make_target("eight_gaussians", sd=0.02),
        "full and flat": GaussianMixture([1, 2], [[0.5, 0], [0, 1.0]], [[[1, 0.9], [0.9, 1]], [[0.1, 0], [0, 0.02]]]),
        "blob and atom": GaussianMixture([1, 2], [[0.5, 0], [0, 1.0]], [[0.3, 0.1], [0, 0]]),
        "thick and thin circle": CircleMixture([1, 2], [[0, 0], [1, 0.5]], [1.5, 0.4], [0.1, 0.0]),
        "point-like circle": CircleMixture([1], [[0.3, 0]], 0.0, 0.2),
        "overlapping boxes": BoxMixture([1, 2, 3], [[-1, -1], [0, 0], [-2, 0.5]], [[1, 1], [0.02, 2.5], [2, 0.6]]),
        "kernel density": Empirical(points, 0.3),
        "mixture on a line": two,
        "boxes on a line": box,
        "atoms on a line": GaussianMixture([1, 2, 1], [[-1.0], [0.2], [2.0]], 0.0),
        "rotated product": Product([(two, 1), box], rotation=random_rotation(2, generator=generator)),
    }


HORIZON = 3.0
TARGETS: dict[str, Target] = {name: make_target(name) for name in GALLERY} | _hand_made()


def times(target: Target) -> tuple[float, ...]:
    """Noise levels at which the target has a density and a score."""
    return (0.0, 0.01, 0.1, 1.0, 3.0) if target.smooth else (0.01, 0.1, 1.0, 3.0)


def sds(target: Target) -> tuple[float, float]:
    """The smallest and the largest standard deviation that a component of p₀ has in any direction."""
    law = target.law
    if isinstance(law, Product):
        every = [sds(factor) for factor, _ in law.factors]
        return min(low for low, _ in every), max(high for _, high in every)
    if isinstance(law, BoxMixture):
        return 0.0, 0.0
    variances = law.variances
    return math.sqrt(float(variances.min())), math.sqrt(float(variances.max()))


def draw(target: Target, n: int, *, t: float, seed: int) -> Tensor:
    """n points of p_t."""
    return target.sample(n, generator=torch.Generator().manual_seed(seed), t=t)


def score_error(target: Target, t: float) -> float:
    """Largest distance between score and autograd of log_prob, relative to the score, near the data and far out."""
    generator = torch.Generator().manual_seed(1)
    near = draw(target, 200, t=t, seed=1)
    far = 5 * torch.randn(50, target.dim, generator=generator, dtype=torch.float64)
    x = torch.cat([near, near + 0.3, far]).requires_grad_(True)
    truth = torch.autograd.grad(target.log_prob(x, t).sum(), x)[0]
    return float(((target.score(x.detach(), t) - truth).norm(dim=1) / truth.norm(dim=1).clamp(min=1e-300)).max())


def mass(target: Target, t: float) -> float:
    """∫ p_t by the trapezoidal rule, whose error for blurred laws falls like exp(−2π² (sd / spacing)²)."""
    time = torch.tensor(t, dtype=torch.float64)
    low, high = (math.hypot(float(alpha(time)) * sd, float(sigma(time))) for sd in sds(target))
    x = draw(target, 4000, t=t, seed=2)
    start, end = x.amin(0) - 8 * high, x.amax(0) + 8 * high
    counts = ((end - start) / (0.75 * low)).ceil().int().tolist()
    axes = [torch.linspace(a, b, n + 1, dtype=torch.float64) for a, b, n in zip(start, end, counts, strict=True)]
    points = torch.cartesian_prod(*axes).reshape(-1, target.dim)
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    return cell * sum(float(target.log_prob(part, t).exp().sum()) for part in points.split(1 << 17))


def flow_end(target: Target) -> float:
    """The earliest time the flow is tried at: 0 for smooth targets."""
    return 0.0 if target.smooth else 0.01


def flow_errors(target: Target) -> dict[str, float]:
    """How far Φ from T = 3 to the end is from its laws.

    composition: |Φ_{u→s}∘Φ_{t→u} − Φ_{t→s}|. inverse: |Φ_{s→t}∘Φ_{t→s} − id| over one plus the stretch of the way back.
    push_forward: |log p_s(Φ(x)) + log|det ∇Φ(x)| − log p_t(x)|.
    """
    flow, s = ExactFlow(target), flow_end(target)
    x = draw(target, 24, t=HORIZON, seed=20)
    composed = flow(flow(x, HORIZON, 0.3), 0.3, s)
    few, y, jacobian = _with_jacobian(flow, x[:4], s)
    stretch_back = torch.linalg.matrix_norm(torch.linalg.inv(jacobian), ord=2)
    volume = torch.linalg.slogdet(jacobian).logabsdet
    return {
        "composition": float((composed - flow(x, HORIZON, s)).abs().max()),
        "inverse": float(((flow(y, s, HORIZON) - few).norm(dim=1) / (1 + stretch_back)).max()),
        "push_forward": float((target.log_prob(y, s) + volume - target.log_prob(few, HORIZON)).abs().max()),
    }


def _with_jacobian(flow: ExactFlow, x: Tensor, s: float) -> tuple[Tensor, Tensor, Tensor]:
    """x, Φ_{T→s}(x) and the Jacobian: through the solver by autograd, elsewhere by differences of order 4."""
    if flow.method == "ODE solver":
        x = x.clone().requires_grad_(True)
        y = flow(x, HORIZON, s)
        rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(x.shape[1])]
        return x.detach(), y.detach(), torch.stack(rows, dim=1)
    h = 1e-4

    def moved(by: Tensor) -> Tensor:
        return flow(x + h * by, HORIZON, s)

    axes = torch.eye(x.shape[1], dtype=x.dtype)
    columns = [(8 * (moved(e) - moved(-e)) - (moved(2 * e) - moved(-2 * e))) / (12 * h) for e in axes]
    return x, flow(x, HORIZON, s), torch.stack(columns, dim=2)
