"""Runs: the ledger keeps, names, hides and brings back; any runs stand side by side; a file is read as data only."""

import os
import re
import time
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.background import task
from app.kl.run_summary import differences, settings, weights
from app.pages.runs import chosen, ledger
from app.runs import disk as shelf
from app.runs.library import Library, runs_in
from app.runs.run import Run
from app.training import registry as training_registry
from cmcore.config import NetworkConfig
from cmcore.store import to_zip
from tests.app.conftest import PATIENCE, html, poll, untrained

pytestmark = pytest.mark.usefixtures("shipped", "answered")


def page(own=(), *, visitor=None, declined=False, **query):
    """The page, in a session that has trained a run for each name."""

    def script(own):
        from app import state
        from app.pages.runs.page import runs_page
        from app.runs.library import add_run
        from tests.app.conftest import untrained

        if state.first_time("the test's own runs"):
            for label in own:
                add_run("eight_gaussians", label, untrained())
        runs_page()

    at = AppTest.from_function(script, default_timeout=PATIENCE, args=(own,))
    for name, value in query.items():
        at.query_params[name] = value
    if visitor:
        at.session_state["visitor"] = visitor
    if declined:
        at.session_state["library"] = Library(stored="declined")
    at.run()
    assert not at.exception
    return at


def rows(at):
    return at.dataframe[0].value


def labels(at):
    return list(rows(at)["Run"])


def key_of(at, label):
    """The key of the run of this label; the choice of what is compared offers all of them."""
    return next(key for key in offered(at) if offered(at)[key] == label)


def offered(at):
    from app.runs.names import run_names

    now = at.session_state["library"]
    everyone = {**runs_in(os.environ["CONSISTENCY_LAB_RUNS"]), **now.own}
    return run_names(run for key, run in everyone.items() if key not in now.hidden)


def compare(at, *keys):
    at.multiselect(key="compared_shown").set_value(list(keys)).run()
    assert not at.exception
    return at


def press(at, action, label):
    key = key_of(at, label)
    compare(at, *at.session_state["compared"], *([] if key in at.session_state["compared"] else [key]))
    at.button(key=f"{action}:{key}").click().run()
    assert not at.exception
    return at


# ---- the ledger -------------------------------------------------------------------------------------------------
def test_the_page_opens_with_two_runs_side_by_side():
    at = page()
    assert labels(at) == ["Eight Gaussians", "Checkerboard"]
    assert at.session_state["compared"] == ["eight_gaussians", "checkerboard"]
    words = html(at)
    assert "What differs" in words
    assert "checkerboard</td>" in words
    assert list(rows(at)["Parameters"]) == [weights(Run("a", "a", untrained()))] * 2
    assert not dict(at.query_params)


def test_own_runs_come_first_and_pinned_ones_before_them():
    at = page(own=["first", "second"])
    assert labels(at) == ["second", "first", "Eight Gaussians", "Checkerboard"]
    press(at, "pin", "Checkerboard")
    assert labels(at) == ["Checkerboard", "second", "first", "Eight Gaussians"]
    assert rows(at)["From"][0] == "pinned, example"
    press(at, "pin", "Checkerboard")
    assert labels(at)[0] == "second"


def test_a_run_is_named_and_a_name_is_one_plain_line():
    at = page(own=["mine"])
    key = key_of(at, "mine")
    compare(at, key)
    at.text_input(key=f"name:{key}").set_value("  wider\u202e **net**\n ").run()
    assert not at.exception
    assert labels(at)[0] == "wider **net**"
    at.text_input(key=f"name:{key}").set_value("   ").run()
    assert labels(at)[0] == "wider **net**"


def test_deletion_can_be_undone():
    at = page(own=["mine"])
    press(at, "delete", "mine")
    assert labels(at) == ["Eight Gaussians", "Checkerboard"]
    assert "mine was deleted" in " ".join(m.value for m in at.markdown)
    at.button(key="undo").click().run()
    assert labels(at) == ["mine", "Eight Gaussians", "Checkerboard"]


def test_shipped_runs_are_hidden_not_deleted_and_one_run_stays():
    at = page()
    assert not [button for button in at.button if button.key.startswith("delete:")]
    key = key_of(at, "Checkerboard")
    press(at, "hide", "Checkerboard")
    assert labels(at) == ["Eight Gaussians"]
    assert at.button(key="hide:eight_gaussians").disabled
    at.button(key=f"show:{key}").click().run()
    assert labels(at) == ["Eight Gaussians", "Checkerboard"]


def test_a_reload_finds_own_runs_with_their_names_and_nobody_else_does(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path))
    first = page(own=["mine", "second"])
    press(first, "pin", "mine")
    compare(first, key_of(first, "second"))
    first.text_input(key=f"name:{key_of(first, 'second')}").set_value("renamed").run()
    token = first.session_state["visitor"]
    again = page(visitor=token)
    assert labels(again) == ["mine", "renamed", "Eight Gaussians", "Checkerboard"]
    assert key_of(again, "mine") == key_of(first, "mine")  # so that links to it still hold
    assert labels(page(own=["theirs"])) == ["theirs", "Eight Gaussians", "Checkerboard"]
    press(again, "delete", "mine")
    assert "mine" not in labels(page(visitor=token))


# ---- from a file ------------------------------------------------------------------------------------------------
def test_an_exported_run_is_brought_in_and_compared():
    at = page()
    model = replace(untrained(), config=untrained().config.model_copy(update={"seed": 5}))
    at.file_uploader[0].set_value(("my_run-0123abcd.zip", to_zip(model), "application/zip")).run()
    poll(at, lambda at: len(labels(at)) == 3)
    assert labels(at)[0] == "my run"
    assert key_of(at, "my run") in at.session_state["compared"]
    assert rows(at)["Seed"][0] == 5


@pytest.mark.parametrize(
    "content", [b"", b"hello", to_zip(untrained())[:-30], to_zip(replace(untrained(), target=None))]
)
def test_a_file_that_is_no_run_gets_a_sentence_and_changes_nothing(content):
    at = page()
    at.file_uploader[0].set_value(("run.zip", content, "application/zip")).run()
    poll(at, lambda at: len(at.warning) == 1)
    assert len(at.warning[0].value.split()) > 4
    assert labels(at) == ["Eight Gaussians", "Checkerboard"]


def test_reading_a_file_can_be_cancelled_and_begun_anew(monkeypatch):
    def endless(content, **settings):
        while True:
            torch.zeros(1)  # where a worker looks whether it should end
            time.sleep(0.005)

    monkeypatch.setattr(ledger, "from_zip", endless)
    monkeypatch.setattr(task, "PATIENCE", 0.0)
    at = page()
    at.file_uploader[0].set_value(("mine.zip", to_zip(untrained()), "application/zip")).run()
    at.button(key="cancel:import").click().run()
    poll(at, lambda at: "begin:import" in [button.key for button in at.button])
    assert labels(at) == ["Eight Gaussians", "Checkerboard"]
    monkeypatch.undo()
    at.button(key="begin:import").click().run()
    poll(at, lambda at: "mine" in labels(at))


def test_who_does_not_wait_for_the_runs_that_were_kept_can_open_them_later(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))
    token = "c" * 43
    shelf.store(token, shelf.StoredRun("moons-0123abcd", "kept before", pinned=False, model=untrained()))
    at = page(visitor=token, declined=True)
    assert "kept before" not in labels(at)
    at.button(key="open_kept_runs").click().run()
    assert not at.exception
    assert "kept before" in labels(at)
    assert "open_kept_runs" not in [button.key for button in at.button]


# ---- side by side -----------------------------------------------------------------------------------------------
def test_the_settings_that_differ_are_told_apart_from_those_that_do_not():
    one = untrained()
    other = replace(one, config=one.config.model_copy(update={"seed": 5, "learning_rate": 0.1}), steps=7)
    runs = {"a": Run("a", "a", one), "b": Run("b", "b", other), "c": Run("c", "c", untrained("product_of_mixtures"))}
    differ, same = differences(runs)
    assert differ["Seed"] == ["0", "5", "0"]
    assert differ["Steps done"] == ["1", "7", "1"]
    assert differ["Adam’s rate"] == ["—", "0.100", "—"]
    assert "Horizon T" in same
    assert set(differ) | set(same) == set().union(*(settings(run) for run in runs.values()))
    assert not differences({"a": runs["a"]})[0]


def test_what_is_compared_is_chosen_and_the_link_says_so():
    at = page(own=["mine"])
    mine = key_of(at, "mine")
    compare(at, "eight_gaussians", mine)
    assert at.query_params["runs"] in (f"eight_gaussians,{mine}", [f"eight_gaussians,{mine}"])
    compare(at)
    assert "Choose two or more" in at.info[0].value


def test_clicked_rows_are_compared_and_runs_that_a_filter_leaves_out_stay(monkeypatch):
    keys = {"compared": ["a", "gone", "b"], "table": {"selection": {"rows": [0, 2]}}}
    monkeypatch.setattr(chosen, "value", keys.get)
    monkeypatch.setattr(chosen, "set_value", keys.__setitem__)
    chosen._take_rows("table", [("a",), ("b",), ("c", "d")])
    assert keys["compared"] == ["a", "gone", "c", "d"]


def test_p7_runs_are_filtered_and_grouped_and_each_kl_says_how_it_was_measured():
    at = page(own=["mine", "second"])
    poll(at, lambda at: not rows(at)["KL, N = 4"].isna().any())
    assert set(rows(at)["KL, N = 4"]) == {0.25}
    assert set(rows(at)["Measured"]) == {"KL(model ∥ data)"}
    assert set(rows(at)["Samples"]) == {500}
    at.multiselect(key="filter target").set_value(["Checkerboard"]).run()
    assert labels(at) == ["Checkerboard"]
    assert at.session_state["compared"] == ["eight_gaussians", "checkerboard"], "a filter chooses nothing"
    at.multiselect(key="filter target").set_value([]).run()
    at.selectbox(key="group runs").set_value("Seeds").run()
    assert not at.exception
    grouped = rows(at)
    assert list(grouped["Runs"]) == [3, 1]
    assert list(grouped["Seeds"]) == ["0", "0"]
    assert grouped["KL, N = 16"][0] == pytest.approx(1 / 16)


def test_p7_what_is_compared_has_its_kl_as_text_and_not_only_in_the_painted_table():
    at = page()
    assert html(at).count("run-sign") == 2
    poll(at, lambda at: len(re.findall(r"<small>KL (?:≈ )?0.250 [^<]* at N = 4</small>", html(at))) == 2)


def test_the_view_lives_in_the_link():
    at = page(runs="checkerboard", n="8", seed="3")
    assert at.multiselect(key="compared_shown").value == ["checkerboard"]
    assert at.button_group(key="compared_steps").value == 8
    assert "second run" in " ".join(c.value for c in at.caption)
    for query in ({"runs": "nobody"}, {"n": "3"}, {"seed": "-1"}):
        assert len(page(**query).warning) == 1


# ---- continuing -------------------------------------------------------------------------------------------------
def trained(steps=30):
    """A run that was trained for so many steps, ready to be continued."""
    small = {"network": NetworkConfig(width=8, depth=1), "batch": 32, "threads": 1}
    return cm.train(cm.make_target("moons"), objective="lsd", steps=steps, **small)


def test_p1_a_run_under_runs_is_continued_after_a_reload(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr(training_registry, "_trainings", {})
    switched = []
    monkeypatch.setattr("streamlit.switch_page", lambda *_, **settings: switched.append(settings))
    visitor = "v" * 43
    shelf.store(visitor, shelf.StoredRun("moons-01234567", "Two moons", pinned=False, model=trained()))
    at = page(visitor=visitor)
    at.session_state["pages"] = {"train": "train"}
    compare(at, "moons-01234567")
    assert at.number_input(key="further:moons-01234567").value == 30
    at.button(key="continue:moons-01234567").click().run()
    assert not at.exception
    assert switched[0]["query_params"]["objective"] == "lsd"
    under_way = training_registry.current(visitor)
    while not under_way.view().over:
        time.sleep(0.02)
    model = under_way.view().latest.model
    assert (model.steps, model.status) == (60, "finished")
    assert {run.label for run in shelf.stored(visitor)} == {"Two moons", "Two moons, continued to 60 steps"}


def test_g6_the_raw_weights_of_a_run_stand_beside_it():
    at = page(own=["A run"])
    model, own = trained(), at.session_state["library"].own
    own["moons-01234567"] = Run("moons-01234567", "Two moons", model)
    at.run()
    compare(at, "moons-01234567")
    at.button(key="raw:moons-01234567").click().run()
    assert not at.exception
    first, second = at.multiselect(key="compared_shown").value
    assert (first, own[second].label) == ("moons-01234567", "Two moons, raw weights")
    assert not torch.equal(*(next(own[key].model.flow_map.parameters()) for key in (first, second)))
    differ, _ = differences({key: own[key] for key in (first, second)})
    assert list(differ) == ["Average"]
    compare(at, second)
    assert not [button for button in at.button if str(button.key).startswith("raw")]
    cut = {**model.resume_state, "weights": model.resume_state["weights"][1:]}
    own["moons-76543210"] = Run("moons-76543210", "From a file", replace(model, resume_state=cut))
    at.run()
    compare(at, "moons-76543210")
    at.button(key="raw:moons-76543210").click().run()
    assert not at.exception
    assert "does not fit this network" in at.warning[0].value


def test_p1_a_run_without_its_training_state_says_that_it_cannot_be_continued():
    at = page(own=["A run"])
    compare(at, key_of(at, "A run"))
    assert not [button for button in at.button if str(button.key).startswith("continue")]
    assert "cannot be continued" in " ".join(caption.value for caption in at.caption)
