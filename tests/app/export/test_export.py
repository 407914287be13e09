"""What is taken away makes the page's own numbers again, far from the page."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace

import nbformat
import pandas as pd
import pytest
import torch

import cmcore as cm
from app.export.html_page import page
from app.export.notebook import NotebookCell, as_notebook, as_script
from app.export.program import Shown, _values, about, curves_cells, explore_cells, title, zip_name
from app.export.svg_chart import chart
from app.export.tables import csv_of, parquet_of, points, table_of
from app.figures.kl_curve import Line, Point
from app.kl import question as estimates
from app.kl.curves import DIRECTIONS, View, curves_of
from app.kl.one_run import kl_of_run
from app.kl.question import Question, measure
from app.kl.table import ONE, lines
from app.runs.library import SHIPPED, Run
from app.stage.scene import STEPS, grids_of, make_scene
from cmcore.config import NetworkConfig, SamplerConfig
from cmcore.store import to_zip
from cmcore.streams import stream
from cmcore.targets.sketch import Stroke, write_strokes
from tests.app.conftest import untrained

MEASURED = (1, 2)
POINTS = 256


def few(question):
    """The n of an estimate, instead of as many as a visitor gets: programs must ask for it to make a number again."""
    return 4_096 if question.kind.noisy else POINTS


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    estimates.forget()
    monkeypatch.setattr(Question, "n", property(few))
    yield
    estimates.forget()


def trained(target, **choices):
    return cm.train(
        target,
        objective="flow_matching",
        steps=60,
        threads=1,
        batch=64,
        network=NetworkConfig(width=8, depth=1),
        **choices,
    )


def shown(model, sampler="deterministic", moved=None, key="a_run-0123abcd"):
    """The view of a run on Explore with N = 2, and the numbers of two N measured."""
    run = Run(key, 'A "run" \\ of mine', model)
    delta = 0.02 if sampler == "renoise" else model.delta
    config = SamplerConfig(sampler=sampler, steps=2, delta=delta)
    direction = DIRECTIONS[sampler == "renoise"]
    for n in MEASURED:
        measure(run, Question.on_grid(sampler, n, direction, delta, horizon=config.horizon, renoise=config.renoise))
    estimates = kl_of_run(run, config, direction).estimates
    grids = {n: grid for n, grid in grids_of(config, moved).items() if n in MEASURED}
    return Shown(run, config, grids, direction, estimates, 3, 50)


RUN_EACH = """
import json, os, runpy, sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    print("==", path)
    if path.suffix == ".py":
        runpy.run_path(str(path))
        continue
    scope, home = {"__name__": "__main__"}, os.getcwd()
    os.chdir(path.parent)  # where a kernel starts
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "cell", "exec"), scope)
    os.chdir(home)
"""


def execute(folder, programs):
    """What each program prints, run somewhere else, without this checkout on the path and without this environment.

    Notebooks run cell by cell in the order in which they stand, as a kernel would run them.
    """
    for name, text in programs.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN_EACH, *programs],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [part.partition("\n")[2] for part in done.stdout.split("== ")[1:]]


def apart(printed):
    return [float(number) for number in re.findall(r"N = \d+: (\S+) apart", printed)]


def intervals(printed):
    """By N: the value that a program prints, and its interval."""
    found = re.findall(r"N = (\d+): (\S+) nats, 95 % interval \[(\S+), (\S+)\]", printed)
    return {int(n): tuple(map(float, numbers)) for n, *numbers in found}


# ---- the view as a program --------------------------------------------------------------------------------------
def three_runs():
    """A run that the lab ships with, one in three dimensions, and one of a drawing that is drawn with fresh noise."""
    drawing = write_strokes([Stroke(14, ((-150, 0), (0, 80), (150, 0))), Stroke(20, ((0, -120),))])
    yield shown(cm.load(SHIPPED / "eight_gaussians"), key="shipped")
    yield shown(trained(cm.make_target("gaussian", dim=3), seed=4), key="gaussian-0123abcd")
    yield shown(trained(cm.make_target("sketch", strokes=drawing)), "renoise", key="sketch-0123abcd")


@pytest.mark.slow
def test_script_and_notebook_of_three_runs_make_the_numbers_of_the_page(tmp_path):
    """From the exported run to 1e-6; trained again, with as many steps and threads, within the page's interval."""
    views, programs = list(three_runs()), {}
    for i, view in enumerate(views):
        (tmp_path / zip_name(view.run)).write_bytes(to_zip(view.run.model))
        program = title([view.run]), about([view.run]), explore_cells(view)
        programs[f"{i}.py"], programs[f"{i}.ipynb"] = as_script(*program), as_notebook(*program)
        nbformat.validate(nbformat.reads(programs[f"{i}.ipynb"], as_version=4))
    programs["elsewhere/again.py"] = programs["1.py"]
    *printed, again = execute(tmp_path, programs)
    for view, script, notebook in zip(views, printed[::2], printed[1::2], strict=True):
        assert notebook == script
        assert len(apart(script)) == len(_values(view.estimates)) > 0
        assert max(apart(script)) <= 1e-6
        told = [float(x) for x in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", script.partition("N = ")[0])]
        ends = points(view).filter(regex=r"@0(\.02)?$")[:3].to_numpy().ravel().tolist()
        assert told == pytest.approx(ends, abs=2e-4)
    for n, (value, *_) in intervals(again).items():
        low, high = views[1].estimates[n].low, views[1].estimates[n].high
        assert low <= value <= high
    assert "60 steps" in about([views[1].run])
    assert "1 thread" in about([views[1].run])


@pytest.mark.slow
def test_curves_of_runs_and_baselines_are_made_again(tmp_path):
    one, other = Run("a-1", "One", untrained()), Run("b-2", "Other", untrained("gaussian"))
    view = View(("a-1", "b-2"), ("ddim",), "model", "renoise", 1.0, "uniform_angle", 3.0, None, 0.02, DIRECTIONS[1], 2)
    curves = curves_of(view, {"a-1": one, "b-2": other})
    for curve in curves:
        for question in curve.questions:
            measure(curve.run, question)
    for run in (one, other):
        (tmp_path / zip_name(run)).write_bytes(to_zip(run.model))
    program = as_script(title([one, other]), about([one, other]), curves_cells(view, curves))
    (printed,) = execute(tmp_path, {"curves.py": program})
    assert len(apart(printed)) >= 2
    assert max(apart(printed)) <= 1e-6


def test_moved_times_are_those_of_the_program():
    view = shown(untrained(), moved={2: (1.25,)})
    code = "\n".join(cell.code for cell in explore_cells(view))
    assert f"2: ((3.0, 1.25, 0.0), 2, {POINTS})" in code


def test_a_hand_made_target_asks_for_the_exported_run():
    box = cm.BoxMixture([1.0], [[-1.0, -1.0]], [[1.0, 1.0]])
    view = replace(shown(untrained()), run=Run("x-1", "x", replace(untrained(), target=box)))
    assert "raise SystemExit" in "\n".join(cell.code for cell in explore_cells(view))


@pytest.mark.parametrize(
    "label", ['""" + __import__("os").getcwd() + """', "a\\", 'x"', "two\nlines", "\u2028", "\rimport os"]
)
def test_no_name_leaves_its_string(label):
    cells = [NotebookCell(label, f"label = {label!r}")]
    script = as_script(f"Consistency Lab: {label}", label, cells)
    scope = {}
    exec(compile(script, "the script", "exec"), scope)
    assert scope["label"] == label
    assert set(scope) <= {"label", "__builtins__", "__doc__"}


def test_the_notebook_is_one():
    notebook = as_notebook(
        "A title", "about", [NotebookCell("words", "a = 1\nb = 2"), NotebookCell("words", "a = 1\nb = 2")]
    )
    nbformat.validate(nbformat.reads(notebook, as_version=4))
    assert [cell["cell_type"] for cell in json.loads(notebook)["cells"]] == [
        "markdown",
        "markdown",
        "code",
        "markdown",
        "code",
    ]


# ---- tables -----------------------------------------------------------------------------------------------------
def test_points_start_at_the_noise_and_survive_both_formats():
    view = shown(untrained("hypercube_corners"))
    frame = points(view)
    assert list(frame)[:4] == ["x1@3", "x2@3", "x3@3", "x1@0.0741064"]
    assert frame.shape == (50, 9)
    assert pd.read_csv(io.BytesIO(csv_of(frame))).equals(frame)
    assert pd.read_parquet(io.BytesIO(parquet_of(frame))).equals(frame)


def test_points_of_a_table_are_told_in_its_units(tmp_path):
    rows = torch.randn(60, 2, generator=stream(0, "rows")) * 5 + 100
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{x},{y}" for x, y in rows.tolist()))
    model = replace(untrained(), target=cm.read_table(tmp_path / "t.csv"))
    view = replace(shown(untrained()), run=Run("t-1", "t", model))
    frame = points(view)
    assert list(frame)[-2:] == ["a", "b"]
    assert abs(frame["a"].mean() - 100) < 20


def test_a_table_of_the_lab_becomes_one_of_other_programs():
    out = io.StringIO()
    csv.writer(out).writerows([["N", "value", "note"], [1, 0.1, "a, b"], [2, 1e-300, ""]])
    frame = pd.read_parquet(io.BytesIO(parquet_of(table_of(out.getvalue()))))
    assert list(frame["value"]) == [0.1, 1e-300]
    assert frame["note"][0] == "a, b"


# ---- the page ---------------------------------------------------------------------------------------------------
def a_page(label="A run", target="eight_gaussians"):
    view = shown(untrained(target))
    how = {**view.drawn, "grids": grids_of(view.config)}
    scene = make_scene(view.run.model, view.run.target, key="key", **how)
    kl = kl_of_run(view.run, view.config, view.direction)
    drawn = lines(kl.view, kl.curves, ONE)
    return page(scene, view.estimates, drawn, steps=2, heading=label, facts="facts", about="a\nb")


def test_the_page_needs_nothing_but_itself_and_holds_the_numbers():
    made = a_page()
    assert len(made) < 3 << 20
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", made)
    assert not re.search(r"@import|url\(\s*['\"]?http", made)
    assert "export default" not in made
    for n in STEPS:
        assert f'<div data-n="{n}" hidden>' in made
        assert (f"<tr data-n='{n}'>" in made) == (n in MEASURED)


def test_no_name_leaves_its_place_in_the_page():
    made = a_page('</title><script>alert("x")</script>$facts')
    assert "<script>alert" not in made
    assert "&lt;script&gt;alert" in made


def test_the_chart_says_how_each_point_is_known():
    points_ = (Point(1, 0.1, 0.09, 0.11, 0.01, 500, "preimages"), Point(2, 0.002, 0.0, 0.02, 0.01, 500, "preimages"))
    svg = chart([Line('a <b> "run"', "model", points_)], steps=(1, 2))
    assert "1 call: 0.1 nats [0.09, 0.11]; preimages, n = 500, floor 0.01" in svg
    assert "2 calls: below the smallest detectable KL, 0.01 nats, preimages, n = 500" in svg
    assert "<b>" not in svg
    assert chart([], steps=(1,)) == "<p>No measurement yet.</p>"
