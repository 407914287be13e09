"""Links with anything in them: each part by its own reader, and whole links through the pages."""

import math

import pytest
from streamlit.testing.v1 import AppTest

from app.experiments.fields import experiment_settings
from app.pages.explore.link import LINK
from app.pages.inside.link import INSIDE_LINK
from app.pages.kl.link import KL_LINK
from app.pages.lessons.link import LESSONS_LINK
from app.pages.runs.link import RUNS_LINK
from app.pages.train.link import TRAIN_LINK
from app.pages.train.objective import objective_settings
from app.sharing.link import refusal
from app.sharing.readers import several_of
from cmcore.experiments import EXPERIMENTS
from cmcore.objectives import OBJECTIVES
from tests.app.conftest import PATIENCE
from tests.bad_input.mutate import a_sentence, outcome

TEXTS = (
    "", " ", "nan", "-inf", "1e999", "-1", "0", "1_0", "١٢", "0x10", "1" * 5_000, "9" * 400, "1,2,3", ",,,,", "1;2;;",
    "<script>alert(1)</script>", "[click](javascript:1)", "$\\href{x}{y}$", "../../etc/passwd", "{{7*7}}", "%00",
    "\x00", "a=b&c=d", "\u202eabc",
    "\U0001f4a3", "None", "True", "__class__", "'; drop table runs; --", "0.5,0.4,0.3;" * 400,
)  # fmt: skip

LINKS = (LINK, INSIDE_LINK, KL_LINK, LESSONS_LINK, RUNS_LINK, TRAIN_LINK)


def clause(call):
    """The value, or the sentence that the page shows."""
    value, words = outcome(call)
    if words:
        shown = refusal(words)
        assert a_sentence(shown)
        assert len(shown) < 500, "a link does not fill the page"
    return value


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_every_part_of_a_link_is_read_or_refused(shipped, text):
    for parameter in (parameter for link in LINKS for parameter in link.parameters()):
        value = clause(lambda parameter=parameter: parameter.read(text))
        assert not isinstance(value, float) or math.isfinite(value)
    settings = (*map(objective_settings, OBJECTIVES), *map(experiment_settings, EXPERIMENTS))
    for setting in (setting for each in settings for setting in each):
        value = clause(lambda setting=setting: setting.read(text))
        assert not isinstance(value, float) or math.isfinite(value)


def test_s9_what_there_is_to_choose_from_is_asked_for_once_a_parameter():
    asked = []
    read = several_of(lambda: asked.append(1) or range(100), "the run")
    assert read(",".join(map(str, range(100)))) == list(range(100))
    assert len(asked) == 1


PAGES = {
    "explore": ("run", "n", "sampler", "grid", "eta", "seed", "start", "times", "particles", "delta", "unknown"),
    "train": ("target", "objective", "o.trajectories", "o.levels", "o.velocity", "o.unknown", "unknown"),
    "kl": (
        "runs",
        "baselines",
        "score",
        "sampler",
        "eta",
        "from",
        "most",
        "horizon",
        "grid",
        "T",
        "h",
        "show",
        "delta",
    ),
    "scaling": ("question", "o.seed", "o.target", "o.steps", "o.delta", "o.max_d", "unknown"),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "1e999", "-1", "$\\href{x}{y}$ `a` [b](c)"])
def test_a_page_opens_on_a_link_full_of_nonsense_and_says_what_it_left_out(shipped, page, text):
    at = AppTest.from_string(f"from app.pages.{page}.page import {page}\n{page}()", default_timeout=PATIENCE)
    for name in PAGES[page]:
        at.query_params[name] = text
    at.run()
    assert not at.exception
    assert at.warning
    assert all(a_sentence(warning.value) for warning in at.warning)
    assert not any("<script>" in warning.value for warning in at.warning)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    import cmcore as cm
    from tests.app.conftest import untrained

    cm.save(untrained("eight_gaussians"), tmp_path / "eight_gaussians")
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))
