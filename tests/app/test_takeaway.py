"""What is taken away makes the page's own numbers again, far from the page."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

import cmcore as cm
from app import estimates
from app.curves import View, asked
from app.estimates import measure_point
from app.figures.kl_curve import Line, Point
from app.measurements import DIRECTIONS, known_now, lines, question_of
from app.runs import Run
from app.scene import STEPS, grids_of, make_scene
from app.takeaway.cells import Cell, as_notebook, as_script
from app.takeaway.chart import chart
from app.takeaway.page import page
from app.takeaway.program import Shown, _values, about, curves_cells, explore_cells, title, zip_name
from app.takeaway.tables import csv_of, parquet_of, points, table_of
from cmcore.config import NetworkConfig, SamplerConfig
from cmcore.store import to_zip
from cmcore.streams import stream
from tests.app.conftest import untrained

ROOT = Path(__file__).parents[2]
MEASURED = (1, 2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    estimates.forget()
    monkeypatch.setattr(estimates, "LANDINGS", 4_096)
    yield
    estimates.forget()


def trained(name="gaussian", **choices):
    return cm.train(
        cm.make_target(name),
        objective="flow_matching",
        steps=60,
        threads=1,
        batch=64,
        network=NetworkConfig(width=8, depth=1),
        **choices,
    )


def shown(model, sampler="deterministic", moved=None):
    """The view of a run on Explore with N = 2, and the numbers of two N measured."""
    run = Run("a_run-0123abcd", 'A "run" \\ of mine', model)
    delta = 0.02 if sampler == "renoise" else model.delta
    config = SamplerConfig(sampler=sampler, grid="uniform_angle", steps=2, delta=delta)
    direction = DIRECTIONS[sampler == "renoise"]
    for n in MEASURED:
        measure_point(run, question_of(config, direction, sampler, n))
    known = known_now(run, config, direction)
    grids = {n: grid for n, grid in grids_of(config, moved).items() if n in MEASURED}
    return Shown(run, config, grids, direction, known.estimates, 3, 50)


RUN_EACH = "import runpy, sys\nfor path in sys.argv[1:]: print('==', path); runpy.run_path(path)"


def execute(folder, **programs):
    """What each program prints, run one after the other as a person would, somewhere else; `__` is a folder's slash."""
    for name, text in programs.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    files = [f"{name.replace('__', '/')}.py" for name in programs]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", RUN_EACH, *files],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [part.partition("\n")[2] for part in done.stdout.split("== ")[1:]]


def cells_of(notebook):
    """The notebook's code in order, as a kernel would run it."""
    code = ["".join(cell["source"]) for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    return "\n\n".join(code)


def apart(printed):
    return [float(number) for number in re.findall(r"N = \d+: (\S+) apart", printed)]


# ---- the view as a program --------------------------------------------------------------------------------------
@pytest.mark.slow
def test_script_and_notebook_make_the_numbers_of_the_page(tmp_path):
    """From the exported run to 1e-6; trained again, with as many steps and threads, as near as training repeats."""
    jumps, renoised = shown(trained(seed=4)), shown(trained(), "renoise")
    renoised = replace(renoised, run=replace(renoised.run, key="other-0123abcd"))
    for view in (jumps, renoised):
        (tmp_path / zip_name(view.run)).write_bytes(to_zip(view.run.model))
    program = title([jumps.run]), about([jumps.run]), explore_cells(jumps)
    other = title([renoised.run]), about([renoised.run]), explore_cells(renoised)
    script, notebook, second, again = execute(
        tmp_path,
        script=as_script(*program),
        notebook=cells_of(as_notebook(*program)),
        second=as_script(*other),
        elsewhere__again=as_script(*program),
    )
    assert notebook == script
    for printed, view, near in ((script, jumps, 1e-6), (second, renoised, 1e-6), (again, jumps, 1e-3)):
        assert len(apart(printed)) == len(_values(view.estimates)) > 0
        assert max(apart(printed)) <= near
    assert "60 steps" in about([jumps.run])
    assert "1 thread" in about([jumps.run])
    told = [float(x) for x in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", script.partition("N = ")[0])]
    ends = points(jumps)[["x1@0", "x2@0"]][:3].to_numpy().ravel().tolist()
    assert told == pytest.approx(ends, abs=2e-4)


@pytest.mark.slow
def test_curves_of_runs_and_baselines_are_made_again(tmp_path):
    one, other = Run("a-1", "One", untrained()), Run("b-2", "Other", untrained("gaussian"))
    view = View(("a-1", "b-2"), ("ddim",), "model", "renoise", 1.0, "uniform_angle", 3.0, None, 0.02, DIRECTIONS[1], 2)
    curves = asked(view, {"a-1": one, "b-2": other})
    for curve in curves:
        for question in curve.questions:
            measure_point(curve.run, question)
    for run in (one, other):
        (tmp_path / zip_name(run)).write_bytes(to_zip(run.model))
    program = as_script(title([one, other]), about([one, other]), curves_cells(view, curves))
    (printed,) = execute(tmp_path, curves=program)
    assert len(apart(printed)) >= 2
    assert max(apart(printed)) <= 1e-6


def test_moved_times_are_those_of_the_program():
    view = shown(untrained(), moved={2: (1.25,)})
    code = "\n".join(cell.code for cell in explore_cells(view))
    assert "2: ((3.0, 1.25, 0.0), 2, None)" in code


def test_a_hand_made_target_asks_for_the_exported_run():
    box = cm.BoxMixture([1.0], [[-1.0, -1.0]], [[1.0, 1.0]])
    view = replace(shown(untrained()), run=Run("x-1", "x", replace(untrained(), target=box)))
    assert "raise SystemExit" in "\n".join(cell.code for cell in explore_cells(view))


@pytest.mark.parametrize(
    "label", ['""" + __import__("os").getcwd() + """', "a\\", 'x"', "two\nlines", "\u2028", "\rimport os"]
)
def test_no_name_leaves_its_string(label):
    cells = [Cell(label, f"label = {label!r}")]
    script = as_script(f"Consistency Lab: {label}", label, cells)
    scope = {}
    exec(compile(script, "the script", "exec"), scope)
    assert scope["label"] == label
    assert set(scope) <= {"label", "__builtins__", "__doc__"}


def test_the_notebook_is_one():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebook = as_notebook("A title", "about", [Cell("words", "a = 1\nb = 2"), Cell("words", "a = 1\nb = 2")])
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
    assert list(frame)[:4] == ["x1@3", "x2@3", "x3@3", "x1@0.32228"]
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
    drawn = lines(known_now(view.run, view.config, view.direction))
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
    assert "2 calls: below the floor of preimages, 0.01 nats, n = 500" in svg
    assert "<b>" not in svg
    assert chart([], steps=(1,)) == "<p>No measurement yet.</p>"
