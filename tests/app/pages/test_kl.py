"""KL compares any runs and baselines, measures point by point, and keeps its whole view in the link."""

import csv
import io
import math
import threading
from dataclasses import replace
from functools import partial

import pytest

from app.background.task import Report, measure_missing
from app.export.snippet import curves_snippet
from app.figures.kl_curve import Line, Point
from app.kl import question as estimates
from app.kl.curves import BASELINES, View, curves_of, left_out, measure_curves
from app.kl.table import BOUNDS, as_csv, as_rows, lines, reading
from app.runs.library import Run
from cmcore.config import USUAL_GRID
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from cmcore.experiments import Axis, Panel, Result, Series
from cmcore.samplers import SAMPLERS
from tests.app.conftest import answer, html, page_of, poll, untrained

VIEW = View(("a",), ("ddim", "heun"), "exact", "deterministic", 0.5, USUAL_GRID, 3.0, None, 0.02, MODEL_DATA, 4)
RENOISED = replace(VIEW, sampler="renoise", direction=DATA_MODEL, baselines=())


@pytest.fixture(autouse=True)
def quick(answered, monkeypatch):
    monkeypatch.setattr(estimates, "BOUND_POINTS", 256)


@pytest.fixture
def runs():
    other = untrained()
    other = replace(other, config=other.config.model_copy(update={"seed": 5}))
    single = replace(untrained(), config=untrained().config.model_copy(update={"objective": "ct"}))
    return {
        "a": Run("a", "Eight Gaussians", untrained()),
        "b": Run("b", "Eight Gaussians", other),
        "c": Run("c", "Checkerboard", untrained("checkerboard")),
        "d": Run("d", "To data", single),
    }


class Now:
    """Measures at once what a task would in the background."""

    def measure(self, key, quantities):
        measure_missing(quantities, Report(threading.Event()))


def labels(view, runs):
    return [curve.label for curve in curves_of(view, runs)]


def measured(view, runs):
    curves = curves_of(view, runs)
    measure_curves(Now(), curves, bounded=view.bounded)
    return curves


# ---- what is asked ----------------------------------------------------------------------------------------------
def test_every_solver_is_a_baseline():
    assert set(BASELINES) == {name for name, sampler in SAMPLERS.items() if sampler.needs == "score"}


def test_the_exact_score_is_followed_once_for_each_target_and_a_learned_one_for_each_run(runs):
    exact = replace(VIEW, runs=("a", "b", "c"), baselines=("ddim",))
    assert [label for label in labels(exact, runs) if label.startswith("DDIM")] == [
        "DDIM, exact score, Eight Gaussians, seed 0",
        "DDIM, exact score, Checkerboard",
    ]
    learned = replace(exact, runs=("a", "c", "d"), score="model")
    assert [label for label in labels(learned, runs) if label.startswith("DDIM")] == [
        "DDIM, learned score, Eight Gaussians", "DDIM, learned score, Checkerboard",
    ]  # fmt: skip
    assert left_out(learned, runs) == ["To data learned jumps to δ alone, so it has no score of its own to follow."]
    assert not left_out(exact, runs)


def test_no_point_is_asked_where_a_sampler_makes_no_step_and_a_solver_that_chooses_its_steps_is_asked_once(runs):
    view = replace(VIEW, baselines=("heun", "rk4", "dopri5"))
    asked_for = {c.questions[0].sampler: [q.calls for q in c.questions] for c in curves_of(view, runs)}
    assert asked_for == {"deterministic": [1, 2, 4], "heun": [2, 4], "rk4": [4], "dopri5": [4]}


def test_a_growing_horizon_asks_for_other_times(runs):
    view = replace(VIEW, step=0.25)
    horizons = [question.grid.horizon for question in curves_of(view, runs)[0].questions]
    assert horizons == pytest.approx([0.02 + 0.25 * n for n in (1, 2, 4)])


# ---- what is known ----------------------------------------------------------------------------------------------
def test_only_numbers_that_can_be_trusted_are_drawn_and_the_table_says_why_not(runs):
    curves = measured(VIEW, runs)
    drawn = {line.label: [p.calls for p in line.points] for line in lines(VIEW, curves)}
    assert drawn == {"Eight Gaussians": [1, 2, 4], "DDIM, exact score": [1, 2, 4], "Heun, exact score": [2]}
    rows, notes = as_rows(VIEW, curves)
    assert "0.500 ± 0.050" in rows
    assert "—<sup>a</sup>" in rows
    assert notes == ["It folds everywhere."], "a note is said once, and not inside a cell"
    assert "Eight Gaussians is closest at 4 calls: 0.250 nats" in reading(lines(VIEW, curves))


def test_a_point_that_cannot_be_had_is_a_sentence_and_the_others_go_on(runs, monkeypatch):
    def refuse(source, target, steps, **choices):
        if choices["sampler"] == "ddim":
            raise ValueError("Not here.")
        yield from answer(source, target, steps, **choices)

    monkeypatch.setattr(estimates, "kl_points", refuse)
    curves = measured(VIEW, runs)
    problems = [estimates.problem(curve.run, question) for curve in curves for question in curve.questions]
    assert [words for words in problems if words] == ["Not here."] * 3
    assert [line.label for line in lines(VIEW, curves)] == ["Eight Gaussians", "Heun, exact score"]
    rows, notes = as_rows(VIEW, curves)
    assert rows.count("<sup>a</sup>") == 3
    assert notes[0] == "Not here."


def test_the_bounds_stand_above_what_they_bound_and_nowhere_else(runs):
    curves = measured(RENOISED, runs)
    drawn = lines(RENOISED, curves)
    assert [line.role for line in drawn] == ["model", "bound", "bound"]
    assert [line.label for line in drawn[1:]] == list(BOUNDS.values())
    assert drawn[1].dash == drawn[2].dash != "", "a dash is of a run; marks tell its bounds apart"
    assert len({line.symbol for line in drawn}) == 3
    for measured_at, below, above in zip(*(line.points for line in drawn), strict=True):
        assert measured_at.low <= below.high
        assert below.value <= above.value
        assert "jump 1" in below.about
        assert "jump 1" in above.about
    for view in (replace(RENOISED, direction=MODEL_DATA), replace(RENOISED, shown=())):
        curves = measured(view, runs)
        assert [line.role for line in lines(view, curves)] == ["model"]


def test_g7_dash_and_mark_tell_runs_baselines_and_bounds_apart_without_colour(runs):
    view = replace(RENOISED, baselines=("ddim", "heun", "ddpm"))
    looks = [(line.dash, line.symbol) for line in lines(view, measured(view, runs))]
    assert len(looks) == len(set(looks)) == 6


def test_the_csv_holds_every_point_with_all_that_determines_it(runs):
    view = replace(RENOISED, baselines=("heun",), step=0.25)
    curves = measured(view, runs)
    rows = list(csv.DictReader(io.StringIO(as_csv(view, curves))))
    assert len(rows) == 3 + 2 + 3 + 3
    assert all(None not in row for row in rows)
    assert {row["grid"] for row in rows} == {"growing_horizon"}
    assert [float(row["T"]) for row in rows[:3]] == pytest.approx([0.27, 0.52, 1.02])
    assert [row["trusted"] for row in rows if row["sampler"] == "heun"] == ["True", "False"]
    for name in BOUNDS:
        bounds = [row for row in rows if row["estimator"] == name]
        assert [row["N"] for row in bounds] == ["1", "2", "4"]
        assert all(math.isfinite(float(row["value"])) for row in bounds)


@pytest.mark.parametrize("step", [None, 0.25])
def test_the_code_that_makes_the_figure_runs(runs, step):
    view = replace(RENOISED, baselines=("heun",), step=step, most=2)
    code = curves_snippet(view, curves_of(view, runs))
    compile(code, "the figure", "exec")
    made = code[code.index("target = ") : code.index("curves['Eight")]
    head, body = code[: code.index("target = ")], code[code.index("curves['Eight") :]
    assert "cm.train(" in made
    body = body.replace("131072", "512").replace("4096", "256").replace("score=", "n=256, score=")
    scope = {"given": runs["a"].model, "print": lambda *_: None}
    exec(f"{head}\nmodel = given\n{body}", scope)
    assert list(scope["curves"]) == ["Eight Gaussians", "Heun, exact score"]


def test_a_run_below_the_floor_is_not_ranked():
    points = (Point(1, 0.1, 0.09, 0.11, 0.01), Point(2, 0.004, 0.0, 0.02, 0.01), Point(4, 0.002, 0.0, 0.02, 0.01))
    told = reading([Line("a run", "model", points)])
    assert told == "a run is below the smallest KL that its estimator detects, 0.010 nats, at 2 calls."


# ---- the page ---------------------------------------------------------------------------------------------------
page = partial(page_of, "kl")


def test_the_page_opens_with_one_run_and_measures_it(shipped):
    at = page()
    assert at.multiselect(key="kl_runs").value == ["eight_gaussians"]
    assert "KL(model ∥ data), δ = 0" in html(at)
    poll(at, lambda at: "closest at 16 calls" in html(at))
    assert "; for the same, DDIM (exact score) needs" in html(at)
    assert not at.warning


def test_renoised_runs_are_taken_apart_beside_their_bound(shipped):
    at = page(sampler="renoise", baselines="")
    poll(at, lambda at: "choose that divergence" in " ".join(c.value for c in at.caption))
    at.button_group(key="kl_from").set_value("data").run()
    assert not at.exception
    assert "KL(data ∥ model), δ = 0.02" in html(at)
    poll(at, lambda at: "N = 16</th>" in html(at) and "initialisation" in html(at))
    assert "the paper’s bound" in html(at)
    assert "met: " in html(at)


def test_without_a_run_chosen_or_there_the_page_says_what_to_do(shipped, tmp_path, monkeypatch):
    at = page()
    at.multiselect(key="kl_runs").set_value([]).run()
    assert "Choose a run" in at.info[0].value
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))
    assert "Train one" in page().info[0].value


def test_a_run_asked_for_times_it_did_not_learn_is_said(shipped):
    captions = " ".join(c.value for c in page(horizon="grows", h="0.5").caption)
    assert "From N = 8 on, draws start beyond the T = 3" in captions
    assert "Every draw starts beyond" in " ".join(c.value for c in page(T="6").caption)


def test_the_whole_view_lives_in_the_link(shipped):
    query = {
        "runs": "eight_gaussians,checkerboard", "baselines": "ddpm,heun", "score": "model", "sampler": "renoise",
        "eta": "0.8", "from": "data", "most": "32", "horizon": "grows", "h": "0.3", "show": "bands", "delta": "0.05",
    }  # fmt: skip
    at = page(**query)
    assert not at.warning
    assert at.multiselect(key="kl_baselines").value == ["ddpm", "heun"]
    assert "δ = 0.05" in html(at)
    assert {name: value[-1] if isinstance(value, list) else value for name, value in at.query_params.items()} == query
    assert not dict(page().query_params)


def compared_notes(at):
    return [caption.value for caption in at.caption if "compared" in caption.value]


def test_p6_another_sampler_keeps_delta_where_it_can_and_says_where_it_cannot(shipped):
    at = page(baselines="")
    assert compared_notes(at) == []
    at.button_group(key="kl_sampler").set_value("renoise").run()
    (words,) = compared_notes(at)
    assert words.startswith("δ went from 0 to 0.02, since samples with fresh noise have no density there")
    at.button_group(key="kl_sampler").set_value("deterministic").run()
    assert at.select_slider(key="kl_delta").value == 0.02
    (words,) = compared_notes(at)
    assert words.startswith("δ stays 0.02")


def test_p6_what_somebody_chooses_is_not_explained_to_her(shipped):
    at = page(baselines="")
    at.select_slider(key="kl_delta").set_value(0.05).run()
    assert compared_notes(at) == []
    at.button_group(key="kl_sampler").set_value("renoise").run()
    assert at.select_slider(key="kl_delta").value == 0.05
    assert compared_notes(at) == []
    assert compared_notes(page(baselines="", sampler="renoise")) == []


def test_p6_a_run_that_learned_less_says_so(shipped):
    at = page(baselines="")
    at.multiselect(key="kl_runs").set_value(["checkerboard"]).run()
    assert at.select_slider(key="kl_delta").value == 0.01
    (words,) = compared_notes(at)
    assert words.startswith("δ went from 0 to 0.01, since this run learned nothing below")


@pytest.mark.parametrize(
    "query",
    [{"runs": "nobody"}, {"baselines": "ddim,renoise"}, {"most": "1000"}, {"T": "nan"}, {"show": "<b>"}, {"h": "9"}],
)
def test_a_bad_link_is_a_sentence(shipped, query):
    at = page(**query)
    assert len(at.warning) == 1
    assert "could not be followed" in at.warning[0].value
    assert at.multiselect(key="kl_runs").value == ["eight_gaussians"]


def test_the_story_is_told_where_the_lab_ships_with_it(shipped, tmp_path, monkeypatch):
    from app.experiments import results as answers

    axes = {"x": Axis(label="calls"), "y": Axis(label="KL")}
    line = Series(label="map", role="model", panel="kl", x=(1.0, 2.0), y=(0.2, 0.1))
    panel = Panel(name="kl", **axes)
    result = Result(experiment="equal_calls", config={}, reading="Seen at once.", panels=(panel,), series=(line,))
    (tmp_path / "equal_calls.json").write_text(result.to_json())
    monkeypatch.setattr(answers, "SHIPPED", tmp_path)
    answers.shipped_answer.clear()
    try:
        words = html(page())
    finally:
        answers.shipped_answer.clear()
    assert words.index("KL(model ∥ data)") < words.index("What the lab found") < words.index("Seen at once.")


def test_c8_runs_are_measured_with_the_papers_sampler_beside_bound_a(runs):
    papers = replace(RENOISED, sampler="algorithm_1", renoise=1.0, grid="constant_step")
    (curve,) = measured(papers, runs)
    assert papers.bounded
    assert set(curve.bounds) == set(curve.estimates) == set(papers.steps)
    for n, point in curve.estimates.items():
        assert point.low <= curve.bounds[n].total.high
    at = page(sampler="algorithm_1", eta="1.0", baselines="")
    assert not at.exception
    assert [warning.value for warning in at.warning] == []
    assert at.slider(key="kl_renoise").label == "η as a share of the step"


def test_c8_the_code_beside_the_papers_sampler_names_it_and_its_share(runs):
    papers = replace(RENOISED, sampler="algorithm_1", renoise=0.7)
    code = curves_snippet(papers, curves_of(papers, runs))
    assert code.count('sampler="algorithm_1"') + code.count("sampler='algorithm_1'") == 3  # the curve and both bounds
    assert code.count("renoise=0.7") == 3  # the curve and both bounds
