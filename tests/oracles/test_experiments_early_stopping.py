"""E5: a teacher's map on data without a density."""

import pytest
import torch

from cmcore.experiments import EXPERIMENTS, Result
from cmcore.experiments.early_stopping import teacher
from cmcore.flow import ExactFlow
from cmcore.targets import GaussianMixture

ATOMS = GaussianMixture([1, 1], [[-1.0], [1.0]], 0.0)


def test_the_teacher_is_of_first_order():
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]
    truth = ExactFlow(ATOMS)(x, 1.0, 0.3)
    errors = [float((teacher(ATOMS, n)(x, 1.0, 0.3) - truth).abs().max()) for n in (8, 16, 32)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)


def test_a_finer_teacher_lowers_the_kl():
    result = EXPERIMENTS["early_stopping"](deltas=(0.1,), dims=(), horizon=3, kappa=0.8, law="boxes").run()
    coarse, fine = result.series
    assert 0 < fine.y[0] < coarse.y[0]
    assert not result.fits
    assert Result.from_json(result.to_json()) == result


@pytest.mark.slow
def test_a_finer_teacher_and_smaller_steps_lower_the_kl():
    chosen = {"deltas": (0.1, 0.03), "delta": 0.1, "dims": (1, 2, 4), "horizon": 3, "eps": 1}
    result = EXPERIMENTS["early_stopping"](**chosen).run()
    lines = {line.label: line for line in result.series}
    coarse, fine = lines["N = 4"], lines["N = 8"]
    assert all(b < a for a, b in zip(coarse.y, fine.y, strict=True))
    constant = next(fit for fit in result.fits if fit.label == "κ constant, N constant")
    assert constant.slope == pytest.approx(1)
    shrinking, refined = lines["κ ∝ 1/d, N constant"], lines["κ constant, N ∝ d"]
    assert shrinking.y[0] == refined.y[0] == lines["κ constant, N constant"].y[0]
    assert shrinking.y[-1] < 4 * shrinking.y[0]
    assert "observation" in result.reading
    assert Result.from_json(result.to_json()) == result


def test_impossible_choices_are_refused():
    with pytest.raises(ValueError, match="choose larger δ"):
        EXPERIMENTS["early_stopping"](law="thin_ring")
    with pytest.raises(ValueError, match="jumps"):
        EXPERIMENTS["early_stopping"](dims=(1, 64))
    with pytest.raises(ValueError, match="Every δ"):
        EXPERIMENTS["early_stopping"](deltas=(1e-9,))


@pytest.mark.slow
def test_a_circle_without_thickness():
    result = EXPERIMENTS["early_stopping"](law="thin_ring", deltas=(0.1, 0.03)).run()
    assert len(result.panels) == 1
    assert all(line.y[0] > 0 for line in result.series)
