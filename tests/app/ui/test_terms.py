"""Words that are explained where they stand."""

import re

import pytest

from app.ui.terms import TERMS, explained
from tests.app.conftest import TERM


def test_a_term_is_marked_once_and_the_words_stay():
    html = explained("KL versus KL, in nats <b> of KL")
    assert TERM.sub(r"\1", html) == "KL versus KL, in nats &lt;b&gt; of KL"
    assert [found[1] for found in TERM.finditer(html)] == ["KL", "nats"]


def test_what_is_explained_nearby_is_not_explained_twice():
    marked = {"nats"}
    assert explained("0.2 nats", marked) == "0.2 nats"
    assert "term" in explained("δ = 0", marked)
    assert explained("δ = 0", marked) == "δ = 0"


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("KL(model ∥ data), δ = 0", ["KL(model ∥ data)", "δ"]),
        ("exact density (all preimages)", ["exact density (all preimages)"]),
        ("p_δ and ΔKLx and scores", []),
        ("Stopping at δ, KL(p₀ ∥ p_δ)", ["Stopping at δ", "KL"]),
    ],
)
def test_the_longest_term_counts_and_parts_of_words_do_not(text, terms):
    assert [found[1] for found in TERM.finditer(explained(text))] == terms


@pytest.mark.parametrize("term", TERMS)
def test_an_explanation_is_short_and_stays_text(term):
    sentence = TERMS[term]
    assert 20 < len(sentence) < 230
    assert sentence.endswith(".")
    assert len(re.findall(r"[.:] ", sentence)) <= 2
    assert "<" not in sentence
