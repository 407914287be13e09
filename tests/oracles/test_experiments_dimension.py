"""E2: K for the exact map is straight in log d, with the slope of the first cumulant that differs."""

import pytest

from cmcore.experiments import EXPERIMENTS, Result
from cmcore.samplers import SAMPLERS


def test_jumps_of_the_exact_map_are_straight_in_log_d():
    result = EXPERIMENTS["dimension"](baselines=False).run()
    assert [fit.expected for fit in result.fits] == pytest.approx([2, 1, 2 / 3])
    assert all(fit.slope == pytest.approx(fit.expected, rel=0.05) for fit in result.fits)
    assert all(fit.over[1] == pytest.approx(1e6) for fit in result.fits)
    assert "√d" not in result.reading.split("predicts larger d best:")[1]
    assert Result.from_json(result.to_json()) == result


def test_needs_follow_from_the_measured_order():
    result = EXPERIMENTS["dimension"](most_calls=8, horizon=3, eps=1, max_d=100).run()
    lines = {(line.panel, line.label): line for line in result.series}
    scores = [sampler for sampler in SAMPLERS.values() if sampler.needs == "score"]
    assert len([panel for panel, _ in lines if panel == "order"]) == len(scores)
    ddim = SAMPLERS["ddim"].labelled("exact")
    order, needed = lines["order", ddim], lines["needed", ddim]
    assert needed.x == pytest.approx([1 / kl for kl in order.y if 1 <= 1 / kl <= 100])
    assert all(low <= y <= high for low, y, high in zip(order.low, order.y, order.high, strict=True))


def test_impossible_choices_are_refused():
    with pytest.raises(ValueError, match="raise ε"):
        EXPERIMENTS["dimension"](eps=0.01, max_d=10**9)
    with pytest.raises(ValueError, match="no time grid"):
        EXPERIMENTS["dimension"](grid="nowhere")
