"""Whole links with one part, or several, at an extreme: each page reads them at once, or says what it left out."""

import random

import pytest
from streamlit.testing.v1 import AppTest

from app.pages.explore.link import LINK
from app.pages.inside.link import INSIDE_LINK
from app.pages.kl.link import KL_LINK
from app.pages.lessons.link import LESSONS_LINK
from app.pages.runs.link import RUNS_LINK
from app.pages.scaling.link import SCALING_LINK
from app.pages.train.link import TRAIN_LINK
from app.quoting import plain
from tests.app.conftest import PATIENCE
from tests.bad_input.mutate import a_sentence

SECONDS = 0.5
MOST_SAID = 12
EXTREMES = (
    *("", ",", "," * 8_000, ",".join(f"run{i}" for i in range(70_000)), "x" * 100_000, "a," * 4_000, ":," * 3_000),
    *(";" * 8_000, "1" * 8_000, "-1", "1e999", "nan", "9" * 4_000, "9" * 5_000, "0.5,0.4;" * 900, "true", "a:b,c:d"),
    *("https://evil.example/login", "www.evil.example", "a@b.example", "[a](https://evil.example)", ":material/home:"),
    *("![a](https://evil.example/x.png)", "$\\href{https://evil.example}{x}$", "<script>alert(1)</script>", "{{7*7}}"),
    *(
        "\0",
        "\u202e\u2028",
        "\udbff".encode("utf-8", "replace").decode(),
        "=1+1",
        "../../etc/passwd",
        "eNo" + "A" * 6_000,
    ),
)
LINKS = {link.page: link for link in (LINK, INSIDE_LINK, KL_LINK, LESSONS_LINK, RUNS_LINK, SCALING_LINK, TRAIN_LINK)}
BESIDE = {
    "train": ("components", "density", "bandwidth", "o.x", "o." + "x" * 9_000),
    "scaling": ("o.steps", "o.dims", "o.target", "o.delta", "o.signs"),
    "lessons": ("step",),
}
"""Parameters that a page has only in another view, or never; "config" goes with every selection of runs."""
VALID = {
    "explore": {"n": "2"},
    "train": {"target": "moons"},
    "scaling": {"question": "renoising"},
    "kl": {"most": "16"},
}


def links(page: str) -> list[dict[str, str]]:
    """At least 100 of them."""
    names = (parameter.name for parameter in LINKS[page].parameters())
    chance, parts = random.Random(3), (*names, *BESIDE.get(page, ("config",)))
    alone = [{part: extreme} for part in parts for extreme in EXTREMES]
    many = [{f"p{i}": "x" for i in range(3_000)}, {f"o.p{i}": "x" for i in range(3_000)}, {"x" * 5_000: "1"}]
    together = [{part: chance.choice(EXTREMES) for part in parts} for _ in range(40)]
    chosen = chance.sample(alone, min(len(alone), 60))
    return [{**VALID.get(page, {}), **asked} for asked in (*chosen, *many, *together)]


def read_all(page: str, links: list[dict[str, str]]) -> None:
    """In a session: each link as if the session began with it; what is said of it, and the processor's seconds."""
    import time

    import streamlit as st

    from app.state import set_value, value
    from tests.bad_input.test_whole_links import LINKS

    told = []
    for asked in links:
        for key in list(st.session_state):
            if key not in ("told",):
                del st.session_state[key]
        st.query_params.from_dict(asked)
        began = time.thread_time()
        problems = LINKS[page].open()
        told.append((problems, time.thread_time() - began))
    set_value("told", told)
    assert value("told")


@pytest.mark.parametrize("page", LINKS)
def test_s9_every_link_is_read_at_once_or_refused_in_a_sentence(shipped, page):
    asked = links(page)
    assert len(asked) >= 100
    at = AppTest.from_function(read_all, default_timeout=PATIENCE, kwargs={"page": page, "links": asked}).run()
    assert not at.exception
    for link, (problems, seconds) in zip(asked, at.session_state["told"], strict=True):
        assert seconds < SECONDS, link
        assert all(map(a_sentence, problems)), link
        assert sum(map(len, problems)) < 64 * 700
        assert not any("://" in plain(words) for words in problems)


def test_s9_seventy_thousand_names_are_refused_at_once(shipped):
    asked = [{"runs": ",".join(f"run{i}" for i in range(70_000))}, {"runs": ",".join(f"r{i}" for i in range(1_200))}]
    at = AppTest.from_function(read_all, default_timeout=PATIENCE, kwargs={"page": "kl", "links": asked}).run()
    (long, _), (many, _) = at.session_state["told"]
    assert len(long) == 1
    assert len(many) <= 8
    assert all(map(a_sentence, (*long, *many)))


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    import cmcore as cm
    from tests.app.conftest import untrained

    cm.save(untrained("eight_gaussians"), tmp_path / "eight_gaussians")
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", "")
