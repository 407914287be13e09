"""The KL of the paths taken apart: parts, measured whole and slack."""

import math

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.divergences import DATA_MODEL
from cmcore.flow import ExactFlow
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.streams import stream
from cmcore.targets import GaussianMixture, make_target
from cmcore.theory import decomposition, initialisation_kl

GRID = make_grid("uniform_angle", 3, horizon=2.0, delta=0.1)
UNIT = GaussianMixture([1.0], [[0.0]], 1.0)


def test_the_parts_add_up_to_the_path_and_the_path_to_measured_and_slack():
    target = make_target("eight_gaussians")
    f = FlowMap(2, NetworkConfig(width=16, depth=2), generator=stream(0, "weights"))
    found = decomposition(f, target, GRID, seed=0, n=512, landings=1 << 14)
    assert len(found.jumps) == GRID.steps
    for end in ("value", "low", "high"):
        parts = [found.initialisation, *found.jumps]
        assert getattr(found.path, end) == pytest.approx(sum(getattr(part, end) for part in parts), rel=1e-12)
    assert found.measured.value + found.slack.value == pytest.approx(found.path.value, rel=1e-12)
    assert found.measured.direction == DATA_MODEL
    assert found.floor == found.measured.floor
    assert found.slack.low < found.slack.value < found.slack.high


def test_shifted_jumps_of_one_gaussian_have_every_part_in_closed_form():
    """From γ the target never moves; a shift of each jump, as long as it lasts, moves the mean, and renoising forgets
    nothing of it but what the later noise covers."""
    speed = 0.05
    found = decomposition(lambda x, t, s: x + speed * (t - s), UNIT, GRID, seed=0, renoise=0.5)
    etas = [0.5 * t for t in GRID.times[1:]]
    shifts = [speed * (t - (s - eta)) for t, s, eta in zip(GRID.times, GRID.times[1:], etas, strict=False)]
    assert found.initialisation.value == pytest.approx(0, abs=1e-12)
    for part, eta, shift in zip(found.jumps, etas, shifts, strict=True):
        assert part.value == pytest.approx(shift**2 / (2 * math.expm1(2 * eta)), rel=1e-9)
    mean = 0.0
    for eta, shift in zip(etas, shifts, strict=True):
        mean = math.exp(-eta) * (mean + shift)
    assert found.measured.value == pytest.approx(mean**2 / 2, rel=1e-6)
    assert found.slack.value > 0
    assert found.slack.high - found.slack.low < 1e-9


def test_the_exact_map_leaves_the_start_alone():
    """Every part but the first vanishes, and renoising then forgets some of the first."""
    target = GaussianMixture([1.0], [[0.7]], 0.3)
    found = decomposition(ExactFlow(target), target, GRID, seed=0, n=512)
    assert all(part.value < 1e-20 for part in found.jumps)
    assert found.path.value == pytest.approx(initialisation_kl(target, GRID.horizon, seed=0).value, rel=1e-12)
    assert found.slack.high >= 0
    assert found.measured.low <= found.path.high


def test_the_slack_says_so_where_no_kl_is_known():
    """A KL that is not known leaves the slack between nothing and all of the path."""
    target = GaussianMixture([1.0, 1.0, 1.0], torch.eye(3, dtype=torch.float64), 0.05)
    far = decomposition(lambda x, t, s: x + 30.0 * (t - s), target, GRID, seed=0, n=512, landings=512)
    assert not far.measured.trusted or far.measured.value <= far.path.high
    assert far.slack.low <= far.slack.high
