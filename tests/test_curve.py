"""Curves in a notebook: what is drawn and shown is what was measured."""

import math

import numpy as np

import cmcore as cm
from cmcore.divergences import Estimate


def curve():
    def estimate(value, *, trusted=True):
        high = value * 2 if trusted else math.inf
        note = "" if trusted else "why"
        return Estimate(value, value / 2, high, "KL(model‖data)", 0.02, "quadrature", 100, 1e-3, trusted, note)

    estimates = (estimate(1.0), estimate(5.0, trusted=False), estimate(0.25))
    return cm.Curve("steps", (1.0, 2.0, 4.0), estimates, (1, 2, 4), "jumps", {}, 0)


def test_a_plot_shows_the_trusted_values_with_their_intervals_and_floor():
    values, floor = curve().plot().data
    assert list(values.x) == [1, 4]
    assert list(values.y) == [1, 0.25]
    np.testing.assert_allclose(values.error_y.array, [1, 0.25])
    np.testing.assert_allclose(values.error_y.arrayminus, [0.5, 0.125])
    assert list(floor.y) == [1e-3, 1e-3]


def test_a_notebook_shows_the_table():
    assert curve()._repr_html_().count("<tr") == 1 + len(curve().values)
