"""Numbers in words, and the card of an estimate."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.ui.cards import kl_card as marked_card
from app.ui.cards import number, percent, short, typeset
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate
from tests.app.conftest import unexplained

ESTIMATE = Estimate(
    0.0246, 0.0204, 0.0288, MODEL_DATA, 0.0, "change_of_variables", 20_000, 1e-5,
    diagnostics={"fold_share": 0.0002, "off_mode_mass": 0.003},
)  # fmt: skip


def kl_card(*about, **choices):
    """The card, its words without their explanations."""
    return unexplained(marked_card(*about, **choices))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0246, "0.0246"), (12.34, "12.3"), (0, "0"), (1.234e-7, "1.2·10⁻⁷"), (-0.5, "−0.500"), (math.inf, "∞"),
        (123_456, "1.2·10⁵"), (math.nan, "—"), (0.0997, "0.0997"), (9.97e-7, "1.0·10⁻⁶"), (-2e-6, "−2.0·10⁻⁶"),
        (0.9996, "1.00"), (-0.9999, "−1.00"), (99_999.9, "1.0·10⁵"),
    ],
)  # fmt: skip
def test_numbers(value, words):
    assert number(value) == words


@pytest.mark.parametrize(
    ("told", "printed"),
    [
        ("mean: -2.000; at 3.2e-06 nats", "mean: −2.000; at 3.2·10⁻⁶ nats"),
        ("as d^-0.60, within 5%", "as d<sup>−0.60</sup>, within 5 %"),
        ("KL(data‖model) [-3e-05, 5e+02]", "KL(data ∥ model) [−3·10⁻⁵, 5·10²]"),
        ("two-time, 1-D, p_T, E3, calls^−p, <b>", "two-time, 1-D, p_T, E3, calls^−p, &lt;b&gt;"),
    ],
)
def test_the_engines_sentences_are_typeset(told, printed):
    assert typeset(told) == printed


def test_shares():
    assert [percent(s) for s in (0.003, 0.0, 1e-6, 1.0)] == ["0.3 %", "0 %", "< 0.01 %", "100 %"]


@given(some.lists(some.floats(0, 1) | some.floats(1e-6, 1e-3) | some.floats(0.98, 1), min_size=2, max_size=5))
def test_a_share_is_written_without_an_exponent_in_two_digits_and_in_order(shares):
    shown = []
    for share in sorted(shares):
        words = percent(share)
        assert re.fullmatch(r"(< )?\d+(\.\d+)? %", words)
        value = float(words.removeprefix("< ").removesuffix(" %")) / 100
        assert value <= 1
        assert share < value if words[0] == "<" else value == pytest.approx(share, rel=0.05)
        shown.append(value if words[0] != "<" else value / 2)
    assert shown == sorted(shown)


def test_the_card_says_how_it_knows():
    card = kl_card(ESTIMATE, ddim_calls="≈ 25 calls")
    for part in ("KL(model ∥ data), δ = 0", "0.0246", "± 0.0042 nats", "change of variables", "20,000 · 1·10⁻⁵"):
        assert part in card
    for part in ("Folds", "0.02 %", "Samples outside every mode", "0.3 %", "≈ 25 calls"):
        assert part in card


def test_an_untrusted_estimate_shows_its_note_and_no_number():
    estimate = Estimate(
        0.5, 0.1, 0.9, DATA_MODEL, 0.02, "change_of_variables", 100, 0.1, trusted=False, note="Use more <points>."
    )
    card = kl_card(estimate)
    assert "Use more &lt;points&gt;." in card
    assert "0.500" not in card
    assert short(estimate) == ""


def test_a_value_below_its_floor_is_not_shown():
    estimate = Estimate(7e-5, 0.0, 2e-4, DATA_MODEL, 0.02, "convolution_grid", 100_000, 1.1e-4)
    assert "&lt; 0.00011" in kl_card(estimate)
    assert "below what can be detected" in kl_card(estimate)
    assert short(estimate) == "< 0.00011"


def test_a_lopsided_interval_is_shown_as_one():
    estimate = Estimate(0.1, 0.09, 0.2, MODEL_DATA, 0.0, "change_of_variables", 100, 0.0)
    assert "0.090 … 0.20 nats" in kl_card(estimate)


def test_a_positive_delta_names_what_stopping_there_costs():
    assert "KL(p₀ ∥ p_δ)" not in kl_card(replace(ESTIMATE, delta=0.0), stopped=0.0)
    card = kl_card(replace(ESTIMATE, delta=0.02), stopped=0.381)
    assert "KL(p₀ ∥ p_δ)" in card
    assert "0.38 nats" in card
    assert "∞ nats" in kl_card(replace(ESTIMATE, delta=0.02), stopped=math.inf)


def test_c7_the_bars_of_a_norm_are_not_those_of_a_divergence():
    assert typeset("KL(p_δ‖q) and KL(p_T‖N(0, I))") == "KL(p_δ ∥ q) and KL(p_T ∥ N(0, I))"
    assert typeset("E‖∇² log p_t‖_F") == "E‖∇² log p_t‖_F"
