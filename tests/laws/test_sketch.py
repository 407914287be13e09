"""A drawing: the law is what was drawn, the text gives it back, and no text does harm."""

import math
import time
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcore.targets import Stroke, make_target, read_strokes, sketch_law, write_strokes
from cmcore.targets.sketch import LONGEST_TEXT, REACH, SPACING, WIDTHS, beads_of

coordinate = st.integers(-REACH, REACH)
stroke = st.builds(
    lambda width, points: Stroke(width, tuple(points)),
    st.integers(*WIDTHS),
    st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=30),
)


def _gap(p, a, b):
    p, a, b = (torch.tensor(v, dtype=torch.float64) for v in (p, a, b))
    share = ((p - a) @ (b - a) / ((b - a) @ (b - a)).clamp(min=1e-9)).clamp(0, 1)
    return float((p - a - share * (b - a)).norm())


def _distance(point, line):
    if len(line) == 1:
        return math.dist(point, line[0])
    return min(_gap(point, a, b) for a, b in pairwise(line))


@settings(max_examples=40)
@given(st.lists(stroke, max_size=8))
def test_text_gives_the_drawing_back_to_within_the_blur_of_its_brush(strokes):
    text = write_strokes(strokes)
    assert len(text) <= LONGEST_TEXT
    back = read_strokes(text)
    assert [s.width for s in back] == [s.width for s in strokes]
    for drawn, kept in zip(strokes, back, strict=True):
        assert (kept.points[0], kept.points[-1]) == (drawn.points[0], drawn.points[-1])
        assert max(_distance(p, kept.points) for p in drawn.points) <= 0.15 * drawn.width + 1  # rounding of long steps


@settings(max_examples=40)
@given(st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda b: b.hex()), st.from_regex(r"\AAQ[\w-]*\Z")))
def test_no_text_does_more_than_raise_one_clause(text):
    """A text is a drawing of bounded size, or it is refused in one clause."""
    try:
        strokes = read_strokes(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\AThat is not a drawing: [^\n]+\.\Z"):
            make_target("sketch", strokes=text)
        return
    assert sum(len(stroke.points) for stroke in strokes) <= LONGEST_TEXT


@pytest.mark.parametrize(
    "text",
    ["A" * (LONGEST_TEXT + 1), "AQ_____w", "AQwAAAAA", "Ag", "ÄÖ", "AQwAAPoA-gAA", "AQwBAPoA-gB_fw", "AQEAAAAAAAA"],
    ids=[
        "too long",
        "no stroke",
        "half a stroke",
        "other version",
        "other letters",
        "left over",
        "outside",
        "too thin",
    ],
)
def test_bad_text_is_refused(text):
    with pytest.raises(ValueError, match=r"^(its|a) "):
        read_strokes(text)


def test_a_drawing_too_large_for_a_link_is_refused():
    zigzag = Stroke(5, tuple((x, REACH if x % 2 else -REACH) for x in range(-REACH, REACH)))
    with pytest.raises(ValueError, match="would take"):
        write_strokes([zigzag] * 2)
    with pytest.raises(ValueError, match="beads"):
        sketch_law([zigzag])


def test_the_density_along_every_line_is_the_same_and_does_not_show_its_beads():
    """Two long parallel lines of different widths; along each, away from its ends, the density hardly changes."""
    law = sketch_law([Stroke(8, ((-240, 150), (240, 150))), Stroke(20, ((-240, -150), (0, -150), (240, -150)))])
    x = torch.linspace(-1.5, 1.5, 501, dtype=torch.float64)
    thin, wide = (law.log_prob(torch.stack([x, torch.full_like(x, y)], 1)).exp() for y in (1.5, -1.5))
    for along in (thin, wide):
        assert float(along.max() / along.min()) < 1.01
    assert float(thin.mean() / wide.mean()) == pytest.approx(1, abs=0.15)  # beads are spaced a little closer than 1.75


def test_beads_sit_on_the_line_evenly():
    bent = Stroke(10, ((0, 0), (30, 40), (30, 140)))
    centres = sketch_law([bent]).means
    assert len(centres) == beads_of(bent) == 1 + math.ceil(150 / (SPACING * 10))
    assert centres[0].tolist() == [0, 0]
    assert centres[-1].tolist() == [0.3, 1.4]
    gaps = centres.diff(dim=0).norm(dim=1)
    assert float(gaps.max()) <= SPACING * 0.1 + 1e-12
    assert max(_distance(c, [(0, 0), (0.3, 0.4), (0.3, 1.4)]) for c in centres.tolist()) < 1e-9


def test_nothing_drawn_is_a_sentence():
    with pytest.raises(ValueError, match=r"Nothing is drawn yet\."):
        sketch_law([])


@pytest.mark.parametrize("cycle", [[(0, 0), (250, 0), (0, 250)], [(-250, -250), (250, 250), (-250, 250), (250, -250)]])
def test_s3_a_line_that_keeps_every_point_is_refused_without_looking_at_all_pairs(cycle):
    line = Stroke(5, tuple(cycle[i % len(cycle)] for i in range(6_000)))
    before = time.process_time()
    with pytest.raises(ValueError, match="at most 4,096 characters"):
        write_strokes([line])
    assert time.process_time() - before < 2.0  # sixteen without a bound
