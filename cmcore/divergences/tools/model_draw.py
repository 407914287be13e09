r"""Weighted noise pushed through a deterministic sampler, beside the truth: what its KL estimates start from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.divergences.estimate import DATA_MODEL, Direction, Estimate
from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.divergences.tools.log_ratio import LogRatioKL, kl_from_log_ratio
from cmcore.divergences.tools.noise import weighted_noise
from cmcore.divergences.tools.off_mode import density_level, off_mode_mass
from cmcore.divergences.tools.pilot import pilot
from cmcore.divergences.tools.plane_mesh import PlaneMesh
from cmcore.divergences.tools.preimages import NoiseCloud
from cmcore.divergences.tools.push_forward import Branch
from cmcore.grids import TimeGrid
from cmcore.streams import stream
from cmcore.targets.base import Target

_WIDE = 1.5
FEW = 1 << 12
"""With fewer samples a first value is wanted soon: pilot and mesh are coarser, and fewer points are looked at twice."""
_RESOLUTION, _COARSE_RESOLUTION = 128, 64
_VERTICES, _COARSE_VERTICES = 3_600, 2_700
"""Of the pilot: with the 16,384 samples of the default, fewer than 20,000 points in all."""
_CLOUD = 1 << 15
"""Noise from which preimages are looked for beyond the plane, where the model is thin too."""


@dataclass(frozen=True)
class ModelDraw:
    """Weighted noise pushed forward, compared with the truth.

    Attributes:
        composed: the map of all jumps.
        target: the truth.
        noise: z, [n, d].
        weight: of each, as rows of which only the weighted means are independent, [rows, m].
        branch: the images, with the density by the branch they came by.
        log_p: log p_δ at the images, [n].
        seed: of the noise.
    """

    composed: ComposedMap
    target: Target
    noise: Float[Tensor, "n d"]
    weight: Float[Tensor, "rows m"]
    branch: Branch
    log_p: Float[Tensor, " n"]
    seed: int

    @property
    def grid(self) -> TimeGrid:
        """The times of the jumps."""
        return self.composed.grid

    @property
    def few(self) -> bool:
        """Whether these are samples for a first value."""
        return len(self.noise) < FEW

    @property
    def fold_share(self) -> float:
        """Weighted share of points where the map turns space over against the majority; 0 for a one-to-one map."""
        flat = self.weight.flatten()
        negative = float((flat * (self.branch.orientation < 0)).sum() / flat.sum())
        return min(negative, 1 - negative)

    @cached_property
    def mesh(self) -> PlaneMesh:
        """Where preimages may be, in the plane."""
        turned = self.noise[self.branch.orientation < 0]
        return PlaneMesh(self.composed, turned=turned, resolution=_COARSE_RESOLUTION if self.few else _RESOLUTION)

    @cached_property
    def cloud(self) -> NoiseCloud:
        """Noise with its images; beyond the plane, where no pilot draws more of what is rare, with more and wider."""
        if self.target.dim == 2:
            return NoiseCloud(self.noise, self.branch.points)
        wide = torch.randn(_CLOUD, self.target.dim, generator=stream(self.seed, "wide noise"), dtype=torch.float64)
        wide[::2] *= _WIDE
        noise = torch.cat([self.noise, wide])
        images = torch.cat([self.branch.points, self.composed.images(wide)])
        whole = torch.isfinite(images).all(1)
        return NoiseCloud(noise[whole], images[whole])

    def plain_noise(self, n: int) -> Float[Tensor, "n d"]:
        """Fresh noise of N(0, I), unweighted."""
        return torch.randn(n, self.target.dim, generator=stream(self.seed, "plain noise"), dtype=torch.float64)

    def kl(self, log_q: Tensor, *, control_variate: bool = True) -> LogRatioKL:
        """KL(q‖p) from log q at the draw's own points."""
        return kl_from_log_ratio(self.rows(self.log_p - log_q), self.weight, control_variate=control_variate)

    def rows(self, values: Tensor) -> Float[Tensor, "rows m"]:
        """Values at the points as rows like those of the weights."""
        return values.reshape(self.weight.shape)

    def diagnostics(self, kl: LogRatioKL) -> dict[str, float]:
        """What is told beside every estimate from this draw."""
        delta = self.grid.delta
        return {
            "k1": kl.k1,
            "mean_ratio": kl.mean_ratio,
            "mean_ratio_error": kl.mean_ratio_error,
            "fold_share": self.fold_share,
            "off_mode_mass": off_mode_mass(self.target, self.log_p, self.weight.flatten(), delta=delta),
            "off_mode_floor": density_level(self.target, delta)[1],
        }

    def floor(self, kl: LogRatioKL) -> float:
        """What an exact map would show: the interval of k1, or under CV the rounding of the map's own arithmetic."""
        return kl.half_width if kl.form == "k1" else self.composed.resolution / 100

    def estimate(  # noqa: PLR0917
        self,
        direction: Direction,
        estimator: str,
        value: float,
        ends: tuple[float, float],
        floor: float,
        diagnostics: Mapping[str, float],
        note: str = "",
    ) -> Estimate:
        """An estimate with its interval, or a plain word where it is infinite or could not be computed."""
        low, high = ends
        # Twice the interval: once in thousands of estimates of a KL near 0, not once in forty.
        finite = math.isfinite(value) and math.isfinite(high - low) and 2 * high - value >= 0
        return Estimate(
            value=value if finite or value == math.inf else math.nan,
            low=low if finite else 0.0,
            high=high if finite else math.inf,
            direction=direction,
            delta=self.grid.delta,
            estimator=estimator,
            n=self.log_p.numel(),
            floor=floor,
            trusted=finite,
            note=note or ("" if finite else self._not_finite(value)),
            diagnostics=diagnostics,
        )

    def _not_finite(self, value: float) -> str:
        log_q = self.branch.log_density
        if math.isfinite(value):
            return "The estimate is below zero by more than its error: some preimages of the map were not found."
        if bool((torch.isneginf(self.log_p) & torch.isfinite(log_q)).any()):
            return "Some samples lie where the data has no density: the KL is infinite."
        if value == math.inf and bool((log_q == math.inf).any()):
            return "The map squeezes some noise into no width at all, so the model has no density: the KL is infinite."
        return "The map gives values that are not numbers, so the KL could not be computed."


def draw_model(  # noqa: PLR0917
    f: JumpMap, target: Target, grid: TimeGrid, n: int, seed: int, direction: Direction
) -> ModelDraw:
    """About n weighted draws: noise is drawn more often in its tails and, in the plane, where a pilot says so."""
    composed = ComposedMap.of(f, grid, target.dim)
    vertices, forward = _COARSE_VERTICES if n < FEW else _VERTICES, direction == DATA_MODEL
    warp = pilot(composed, target, vertices=vertices, forward=forward).draw if target.dim == 2 else None
    noise, weight = weighted_noise(n, target.dim, seed=seed, warp=warp)
    noise = noise.flatten(0, 1)
    branch = composed.branch(noise)
    return ModelDraw(composed, target, noise, weight, branch, target.log_prob(branch.points, grid.delta), seed)
