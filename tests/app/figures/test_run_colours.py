"""Runs that are compared are told apart by colour, for every kind of eye, and by a second sign where colours repeat."""

from itertools import combinations

import numpy as np
import pytest

from app.figures.kl_curve import Line, Point, colour_of, kl_curve, look_of
from app.figures.theme import DARK, LIGHT

# Machado, Oliveira and Fernandes, IEEE TVCG 15 (2009), severity 1, on linear RGB.
EYES = {
    "usual": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = np.cbrt(TO_XYZ @ np.clip(rgb, 1e-4, 1) / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_p7_any_two_of_six_runs_differ_in_colour(theme, eye):
    assert len(theme.runs) == 6
    assert theme.runs[0] == theme.model
    seen = [lab(np.array(EYES[eye]) @ linear(colour)) for colour in theme.runs]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 25, "ten is told apart side by side"


def test_p7_runs_of_one_colour_differ_in_dash_and_mark_and_so_do_neighbours():
    looks = [(k % len(LIGHT.runs), *look_of(k)) for k in range(24)]
    assert len(set(looks)) == 24
    assert all(a[1] != b[1] and a[2] != b[2] for a, b in combinations(looks[:6], 2)), "grey paper has no colours"


def test_p7_every_run_has_its_colour_and_its_mark_before_its_name():
    lines = [
        Line(f"run {k}", "model", tuple(Point(n, 0.1 / n + k, 0, 0) for n in (1, 2, 4)), *look_of(k), number=k)
        for k in range(3)
    ]
    figure = kl_curve([*lines, Line("DDIM", "baseline", lines[0].points)], theme=LIGHT)
    drawn = {trace.name: trace.line.color for trace in figure.data if trace.name.startswith("run")}
    assert list(drawn.values()) == [colour_of(line, LIGHT) for line in reversed(lines)][::-1]
    assert len(set(drawn.values())) == 3
    names = {note.text for note in figure.layout.annotations}
    assert {f'<span style="color:{colour_of(line, LIGHT)}">{sign}</span> {line.label}' for line, sign in zip(
        lines, "●■◆", strict=True
    )} < names  # fmt: skip


def test_p7_names_stand_where_their_lines_end_and_do_not_overlap():
    ends = {16: (0.1, 0.101, 0.099), 64: (0.1,)}
    lines = [
        Line(f"to {n}, {k}", "baseline", (Point(1, 1.0, 1, 1), Point(n, value, value, value)))
        for n, values in ends.items()
        for k, value in enumerate(values)
    ]
    notes = kl_curve(lines, theme=LIGHT).layout.annotations
    assert [round(10**note.x) for note in notes].count(64) == 1
    scale = (460 - 48) / np.ptp(kl_curve(lines, theme=LIGHT).layout.yaxis.range)
    heights = sorted(note.y * scale - note.ay for note in notes if round(10**note.x) == 16)
    assert min(np.diff(heights)) >= 16
    long = [Line(f"a name of {k} in as many as three rows", "baseline", lines[0].points) for k in range(2)]
    two_rows, one_row = (kl_curve([*long, lines[0]], theme=LIGHT).layout.annotations[k] for k in (1, 2))
    assert (two_rows.ay - one_row.ay) >= 17 * (1 + two_rows.text.count("<br>") + 1) / 2
