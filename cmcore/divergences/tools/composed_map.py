r"""All jumps of a deterministic chain as one map of the noise, with its Jacobian and with what its arithmetic resolves.

Lab networks are evaluated in float64. A map of another make may round to float32 inside, or be solved to a tolerance:
what is asked of its preimages then follows the precision that it has.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap, like_map, with_jacobian
from cmcore.divergences.tools.push_forward import Branch, doubled, push_forward, transport
from cmcore.grids import TimeGrid
from cmcore.streams import stream
from cmcore.threads import in_pieces

_PROBES = 64
_CHUNK = 2048
_FINEST, _COARSEST, _FOLLOWED = 1e-10, 1e-2, 0.1
"""The resolution of a map is looked for between these steps: the least at which images follow to a tenth."""


@dataclass(frozen=True)
class ComposedMap:
    """All jumps of a chain as one map of the noise, in float64 where the map allows it.

    Attributes:
        f, grid: the jumps; f takes float64.
        resolution: the least relative change of the noise that the image follows as its Jacobian says, to a tenth.
            About 1e-10 in float64; 1e-6 where the map rounds to float32 inside or is solved to a tolerance.
    """

    f: JumpMap
    grid: TimeGrid
    resolution: float = _FINEST

    @classmethod
    def of(cls, f: JumpMap, grid: TimeGrid, dim: int) -> "ComposedMap":
        """The composed map, its resolution measured."""
        composed = cls(doubled(f), grid)
        return cls(composed.f, grid, _resolution(composed, dim))

    def images(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Where the noise goes; float64 on the CPU."""
        _, device = like_map(self.f)
        return transport(self.f, noise.to(device), self.grid).double().cpu()

    def branch(self, noise: Float[Tensor, "n d"]) -> Branch:
        """The images with the density of the branch by which they came."""
        _, device = like_map(self.f)
        branch = push_forward(self.f, noise.to(device), self.grid)
        return Branch(branch.points.cpu(), branch.log_density.cpu(), branch.orientation.cpu())

    def with_jacobian(self, noise: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d d"]]:
        """The images, and the Jacobian of all jumps."""
        _, device = like_map(self.f)
        z = noise.to(device)
        total = torch.eye(z.shape[1], dtype=z.dtype, device=device).expand(len(z), -1, -1)
        for t, s in self.grid.jumps:
            pieces = in_pieces(lambda z, t=t, s=s: with_jacobian(self.f, z, t, s), z, rows=_CHUNK)
            z = torch.cat([image for image, _ in pieces])
            total = torch.cat([jacobian for _, jacobian in pieces]) @ total
        return z.double().cpu(), total.double().cpu()


def _resolution(composed: ComposedMap, dim: int) -> float:
    """The least step of the noise at which most differences of images are those that the Jacobian says."""
    z, way = torch.randn(2, _PROBES, dim, generator=stream(0, "resolution probes"), dtype=torch.float64)
    way = way / way.norm(dim=1, keepdim=True) * (1 + z.norm(dim=1, keepdim=True))
    image, jacobian = composed.with_jacobian(z)
    expected = (jacobian @ way[:, :, None])[:, :, 0]
    step = _FINEST
    while step < _COARSEST:
        apart = (composed.images(z + step * way) - image) / step - expected
        share = apart.norm(dim=1) / expected.norm(dim=1)
        share = share[torch.isfinite(share)]
        if not len(share) or float(share.median()) < _FOLLOWED:
            break
        step *= 10
    return step
