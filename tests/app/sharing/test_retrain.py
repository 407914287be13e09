"""Links that name runs of another session: every page offers to train them again, and every link says how."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from app.sharing.config_code import LONGEST, read_config, write_config
from app.sharing.retrain import MOST_OFFERED
from cmcore.config import TargetConfig, TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.targets import Stroke, write_strokes
from cmcore.targets.sketch import LONGEST_TEXT
from tests.app.conftest import PATIENCE, html

CIRCLES = write_config(TargetConfig(name="circles"), TrainingConfig(objective="lsd", steps=60, seed=5)) or ""
MOONS = write_config(TargetConfig(name="moons"), TrainingConfig(steps=70, seed=6)) or ""
PAGES = {
    "explore": ("explore", "run"),
    "inside": ("inside", "run"),
    "kl": ("kl", "runs"),
    "runs": ("runs_page", "runs"),
}


pytestmark = pytest.mark.usefixtures("shipped", "answered")


def page(name, own=(), **query):
    """The page, in a session that has trained a run of each of these targets and chosen them all."""

    def script(module, function, own):
        import importlib

        from app import state
        from app.runs.library import add_run
        from tests.app.conftest import untrained

        if own and state.first_time("the test's own runs"):
            keys = []
            for target, parameters in own:
                model = untrained(target, **parameters)
                if target == "moons":
                    model.target.config = None  # as a table's is
                keys.append(add_run(target, target, model).key)
            state.set_value("run", keys[-1])
            state.set_value("kl_runs", ["eight_gaussians", *keys])
            state.set_value("compared", ["eight_gaussians", *keys])
        getattr(importlib.import_module(f"app.pages.{module}.page"), function)()

    at = AppTest.from_function(script, default_timeout=PATIENCE, args=(name, PAGES[name][0], tuple(own)))
    for parameter, value in query.items():
        at.query_params[parameter] = value
    at.run()
    assert not at.exception
    return at


def link(at):
    return {name: value[0] if isinstance(value, list) else value for name, value in at.query_params.items()}


@pytest.mark.parametrize("name", PAGES)
def test_a_run_of_another_session_is_offered_until_one_says_no(name):
    several = PAGES[name][1] == "runs"
    asked = (
        {"runs": "circles-0a1b2c3d", "config": f"circles-0a1b2c3d:{CIRCLES}"}
        if several
        else {"run": "circles-0a1b2c3d", "config": CIRCLES}
    )
    at = page(name, **asked)
    assert "in 60 steps, seed 5" in html(at)
    assert not at.warning
    assert link(at) == asked, "sent on, the link is the same"
    at.button(key="not_again_0").click().run()
    assert not at.exception
    assert "another session" not in html(at)
    assert "config" not in link(at)


@pytest.mark.parametrize("name", ["kl", "runs"])
def test_of_several_runs_those_here_are_shown_and_the_others_offered(name):
    asked = {"runs": "checkerboard,a-1,b-2", "config": f"a-1:{CIRCLES},b-2:{MOONS}"}
    at = page(name, **asked)
    assert "2 runs of another session" in html(at)
    assert at.session_state["kl_runs" if name == "kl" else "compared"] == ["checkerboard"]
    assert link(at) == asked
    at.button(key="not_again_0").click().run()
    assert link(at) == {"runs": "checkerboard,b-2", "config": f"b-2:{MOONS}"}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("code", ["", "a:b:c,,:"])
def test_what_cannot_be_trained_again_is_said(name, code):
    at = page(name, **{PAGES[name][1]: "gone", "config": code if PAGES[name][1] == "run" else f"gone:{code}"})
    assert len(at.warning) == 1
    assert "another session" in at.warning[0].value or "not here" in at.warning[0].value
    assert not any("Train it again" in button.label for button in at.button)


@pytest.mark.parametrize("name", PAGES)
def test_the_link_of_ones_own_runs_says_how_to_train_them(name):
    at = page(name, own=(("circles", {}),))
    told = link(at)
    code = told["config"].rpartition(":")[2]
    assert read_config(code)[0].name == "circles"
    assert not any("cannot hold" in caption.value for caption in at.caption)


@pytest.mark.parametrize("name", PAGES)
def test_a_table_stays_and_the_page_says_so(name):
    at = page(name, own=(("moons", {}),))
    assert "config" not in link(at)
    assert any("never travels" in caption.value for caption in at.caption)


def test_more_runs_than_a_link_has_room_for_are_named():
    many = [("gaussian", {"dim": 2})] * (MOST_OFFERED + 1)
    at = page("kl", own=many)
    assert link(at)["config"].count(",") == MOST_OFFERED - 1
    assert len(link(at)["config"]) <= LONGEST
    assert any("no room" in caption.value for caption in at.caption)


# ---- drawings ---------------------------------------------------------------------------------------------------
def noisy(seed: int, points: int) -> str:
    """A drawing of steps that nothing compresses, as long as a drawing may be with this many points a line."""
    import random

    random_ = random.Random(seed)
    strokes: list[Stroke] = []
    text = ""
    while True:
        line = [(random_.randint(-40, 40), random_.randint(-40, 40)) for _ in range(points)]
        strokes.append(Stroke(random_.randint(5, 60), tuple(line)))
        try:
            text = write_strokes(strokes)
        except ValueError:
            return text


@given(
    seed=some.integers(0, 2**32), points=some.sampled_from([1, 2, 40]), objective=some.sampled_from(sorted(OBJECTIVES))
)
@settings(max_examples=4, deadline=None)
def test_the_longest_drawing_fits_the_code_of_its_run(seed, points, objective):
    text = noisy(seed, points)
    assert len(text) > LONGEST_TEXT - 150
    target = TargetConfig(name="sketch", parameters={"strokes": text})
    config = TrainingConfig(objective=objective, steps=99_999, seed=2**63 - 1, delta=0.012345678901234567)
    code = write_config(target, config)
    assert code is not None
    assert len(code) <= LONGEST


def test_s9_seventy_thousand_names_in_a_link_are_a_sentence_and_no_work():
    names = ",".join(f"{i:x}" for i in range(70_000))
    page("kl", runs="eight_gaussians")
    before = time.process_time()
    page("kl", runs="eight_gaussians")
    usual, before = time.process_time() - before, time.process_time()
    at = page("kl", runs=f"eight_gaussians,{names}")
    assert time.process_time() - before < usual + 0.5
    assert len(at.warning) == 1
    assert at.session_state["kl_runs"] == ["eight_gaussians"]
