"""What Train says of a finished run beside its number."""

from types import SimpleNamespace

import pytest

import cmcore as cm
from app.pages.train.report import still_noise
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate


def estimate(value, direction=DATA_MODEL, *, trusted=True, **diagnostics):
    about = direction, 0.02, "convolution_grid", 4096, 1e-4, trusted, "a note"
    return Estimate(value, value, value, *about, diagnostics=diagnostics)


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (estimate(2.0, off_mode_mass=0.67), "67 % of them lie outside every mode"),
        (estimate(1.2, off_mode_mass=0.2), "noise itself has 1.7 nats"),
        (estimate(0.1, off_mode_mass=0.01), ""),
        (estimate(2.0, trusted=False), ""),
        (estimate(11.0, MODEL_DATA, off_mode_mass=0.64), "64 % of them lie outside"),
        (estimate(0.4, MODEL_DATA, off_mode_mass=0.05), ""),
    ],
)
def test_g6_samples_that_are_still_noise_are_said_to_be(measured, said):
    run = SimpleNamespace(key="noisy", target=cm.make_target("eight_gaussians"))
    words = still_noise(run, measured)
    assert (said in words) if said else words == ""
