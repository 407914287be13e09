"""What runs are called beside one another, and when two runs learned the same law."""

from dataclasses import replace

import numpy as np

import cmcore as cm
from app.runs.names import run_names, target_titles
from app.runs.run import Run
from cmcore.targets.table_fit import fit_table
from tests.app.conftest import untrained


def run(key, label, name="moons", **changes):
    model = untrained(name)
    steps = changes.pop("steps", 1)
    return Run(key, label, replace(model, steps=steps, config=model.config.model_copy(update=changes)))


def test_p7_two_runs_of_one_label_are_told_apart_by_what_differs_and_by_no_more():
    runs = [
        run("a-1", "Two moons"), run("a-2", "Two moons", seed=1), run("a-3", "Two moons", seed=1, objective="lsd"),
        run("b-1", "Other"),
    ]  # fmt: skip
    names = run_names(runs)
    assert names["b-1"] == "Other"
    assert len(set(names.values())) == 4
    assert run_names(runs[:2]) == {"a-1": "Two moons, seed 0", "a-2": "Two moons, seed 1"}
    assert run_names([runs[1], runs[2]])["a-3"].startswith("Two moons, ")
    assert "seed" not in run_names([runs[1], runs[2]])["a-3"], "both have the same"


def test_p7_runs_that_agree_in_everything_are_told_apart_by_their_key():
    assert run_names([run("m-11", "Two moons"), run("m-22", "Two moons")]) == {
        "m-11": "Two moons, 11", "m-22": "Two moons, 22",
    }  # fmt: skip


def test_two_runs_of_one_table_learned_the_same_law_and_two_tables_did_not():
    rows = np.random.default_rng(0).normal(size=(80, 2))
    one, same, other = (
        fit_table(values, columns=("a", "b"), notes=(), name="t") for values in (rows, rows, np.exp(rows))
    )
    runs = [Run(key, key, replace(untrained(), target=law)) for key, law in (("a", one), ("b", same), ("c", other))]
    assert runs[0].target_key == runs[1].target_key != runs[2].target_key
    titles = target_titles(runs)
    assert len(set(titles.values())) == 2, "laws of one name are told apart by their runs"
    assert (
        Run("d", "d", replace(untrained(), target=cm.make_target("eight_gaussians"))).target_key
        == Run("e", "e", untrained()).target_key
    )
