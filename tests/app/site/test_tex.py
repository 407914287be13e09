"""Formulas as MathML, and the words around them as HTML."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.lessons.catalogue import FOLDER
from app.site.tex import Unset, mathml
from app.site.words import as_html, in_line


def shape(tex):
    """The formula as nested names and texts, without its two outer elements."""

    def told(element):
        return (element.tag, element.text or "") if not len(element) else (element.tag, *map(told, element))

    return [told(part) for part in ET.fromstring(mathml(tex))[0]]


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("x_t", [("msub", ("mi", "x"), ("mi", "t"))]),
        (r"e^{-2T}", [("msup", ("mi", "e"), ("mrow", ("mo", "−"), ("mn", "2"), ("mi", "T")))]),
        (r"\frac12", [("mfrac", ("mn", "1"), ("mn", "2"))]),
        (r"x_0^2", [("msubsup", ("mi", "x"), ("mn", "0"), ("mn", "2"))]),
        (r"\mathbb{R}", [("mi", "ℝ")]),
        (r"\sqrt2", [("msqrt", ("mn", "2"))]),
        (r"f'", [("msup", ("mi", "f"), ("mo", "′"))]),
    ],
)
def test_a_formula_has_the_structure_that_tex_gives_it(tex, expected):
    assert shape(tex) == expected


@given(st.text(alphabet="\\{}^_ ab1<&'\"$()", max_size=40) | st.sampled_from(["{" * 2000, "^" * 2000, "\\left" * 500]))
def test_any_text_is_well_formed_or_refused(tex):
    try:
        made = mathml(tex)
    except Unset:
        return
    ET.fromstring(made)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_every_formula_of_the_shipped_lessons_is_set(path):
    unset = []
    as_html(path.read_text(encoding="utf-8").partition("\n---\n")[2], unset.append)
    assert unset == []


def test_what_cannot_be_set_stays_as_it_is_written_and_is_said():
    unset = []
    made = as_html(r"Take $\sideset{a}$ of <b>all</b> for $5.", unset.append)
    assert r"<code>\sideset{a}</code>" in made
    assert "&lt;b&gt;all&lt;/b&gt; for $5." in made
    assert len(unset) == 1
    assert r"\sideset" in unset[0]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](https://a.example/b.png)"]
)
def test_words_execute_and_load_nothing(text):
    for made in (as_html(text), in_line(text)):
        assert "<script" not in made
        assert "<img" not in made
        assert 'href="javascript' not in made
