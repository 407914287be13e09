"""Lessons: every file is whole and true, every step is shown, and a file that is not whole is a sentence."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.pages.explore.link import LINK
from app.pages.kl.link import KL_LINK
from app.pages.lessons import figures as lesson_figures
from app.pages.lessons.catalogue import FOLDER, check, lessons_of
from app.pages.lessons.figures import onward_of
from app.pages.lessons.model import Link, figures_of
from app.pages.lessons.numbers import OWN, answer_of, filled, run_of, values_of
from app.pages.lessons.reader import PLACEHOLDER, BadLesson, read_lesson, read_lesson_file
from app.pages.scaling.link import DATA, DIMS, ERRORS
from app.pages.train.link import FIRST_TARGET
from app.stage import stage
from app.stage.layers import Layered
from cmcore.experiments import EXPERIMENTS
from cmcore.objectives import OBJECTIVES
from cmcore.targets import GALLERY
from tests.app.conftest import PATIENCE, html

FILES = sorted(FOLDER.glob("*.md"))
SLUGS = list(lessons_of(str(FOLDER)).lessons)
GOOD = """---
title: One
summary: Two words.
minutes: 3
numbers:
  kl: {run: eight_gaussians, calls: 4}
---

## First

It leaves {{kl}} nats.

```figure
show: curve
run: eight_gaussians
```

## Second

Guess.

```question
ask: Which?
choices: [this, that]
right: 2
why: Because.
```

```reveal
show: answer
answer: constant_step
panels: [steps]
```
"""


def page(**query):
    def script():
        from app.pages.lessons.page import lessons

        lessons()

    at = AppTest.from_function(script, default_timeout=PATIENCE)
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


@pytest.fixture(autouse=True)
def _shown_only(monkeypatch):
    """Nothing is measured or layered in the background: what is shown at once is enough here."""
    monkeypatch.setattr(lesson_figures, "measure_run", lambda kl: None)
    monkeypatch.setattr(stage, "background_layers", lambda *_: Layered())


# ---- the lessons that ship ------------------------------------------------------------------------------------------
def test_every_file_is_a_lesson():
    shelf = lessons_of(str(FOLDER))
    assert shelf.problems == ()
    assert len(shelf.lessons) == len(FILES) >= 9


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_lesson_is_short_asks_something_and_shows_the_answer(file):
    lesson = read_lesson_file(file)
    check(lesson)
    assert 3 <= lesson.minutes <= 6
    asked = [step for step in lesson.steps if step.question]
    assert asked
    for step in asked:
        assert step.reveal is not None
        assert 1 <= step.question.right <= len(step.question.choices)
        assert len(set(step.question.choices)) == len(step.question.choices)
    assert all(step.figure or step.reveal for step in lesson.steps)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_lesson_says_is_so(file):
    """Claims hold of the shipped results, and no measured number is written by hand."""
    lesson = read_lesson_file(file)
    values = values_of(lesson)
    assert lesson.claims
    for claim in lesson.claims:
        less, than = (values.get(side, side) for side in (claim.less, claim.than))
        assert less < than * claim.times, claim
    for step in lesson.steps:
        asked = (step.question.ask, *step.question.choices, step.question.why) if step.question else ()
        for text in (step.title, step.text, *asked):
            bare = re.sub(r"\$[^$]*\$|arXiv:[\d.]+", "", PLACEHOLDER.sub("", text))
            by_hand = re.findall(r"\d+\.\d+|\d+ %", bare)
            assert set(by_hand) <= {"0.02", "0.1", "0.000001", "0.01", "0.7", "95 %"}, (step.title, by_hand)


def test_the_right_answer_is_not_always_in_one_place():
    rights = [s.question.right for file in FILES for s in read_lesson_file(file).steps if s.question]
    assert all(rights.count(place) > len(rights) // 8 for place in (2, 3))


@pytest.mark.parametrize("slug", SLUGS)
def test_every_step_is_shown_before_and_after_the_answer(slug):
    lesson = lessons_of(str(FOLDER)).lessons[slug]
    at = page(lesson=slug)
    for number, step in enumerate(lesson.steps, 1):
        assert not at.exception
        assert not at.warning
        assert f"{number} of {len(lesson.steps)}" in html(at)
        if step.question:
            assert at.button(key="reveal").disabled
            assert step.figure or "Predict first" in html(at)
            at.radio[0].set_value(step.question.right - 1).run()
            at.button(key="reveal").click().run()
            assert not at.exception
            assert "Right." in html(at)
            assert _figures(at, step.reveal), step.title
        if step.figure and not step.question:
            assert _figures(at, step.figure), step.title
        if number < len(lesson.steps):
            at.button(key="next").click().run()
    assert at.query_params["step"] in (str(len(lesson.steps)), [str(len(lesson.steps))])
    at.button(key="all_lessons").click().run()
    assert "done" in html(at)
    assert "lesson" not in at.query_params


def _figures(at, figure):
    kinds = {"stage": "bidi_component", "curve": "plotly_chart", "answer": "plotly_chart"}
    found = at.get(kinds[figure.show])
    return len(found) >= (2 if figure.show == "stage" else 1)  # the marks of the steps are a component too


def test_a_wrong_guess_is_told_and_kept():
    at = page(lesson="learning", step="2")
    right = lessons_of(str(FOLDER)).lessons["learning"].steps[1].question.right - 1
    at.radio[0].set_value(2 - right if right != 1 else 0).run()
    at.button(key="reveal").click().run()
    assert "Not this time." in html(at)
    assert "your guess" in html(at)
    at.button(key="next").click().run()
    at.button(key="previous").click().run()
    assert "Not this time." in html(at)


@pytest.mark.parametrize("slug", SLUGS)
def test_where_a_step_sends_its_reader_there_is_a_page_that_follows(slug):
    lesson = lessons_of(str(FOLDER)).lessons[slug]
    for step in lesson.steps:
        for link in (step.onward, *(onward_of(figure) for figure in figures_of(step))):
            if link is not None:
                _followed(link)


def _followed(link: Link):
    table = {"explore": LINK, "kl": KL_LINK}.get(link.page)
    readers = table and {parameter.name: parameter.read for parameter in table.parameters()}
    for name, value in link.link.items():
        if readers is not None:
            readers[name](str(value))
        else:
            dials = {"d": DIMS, "error": ERRORS, "data": DATA}
            offered = {"question": EXPERIMENTS, "target": GALLERY, "objective": OBJECTIVES, **dials}[name]
            assert value in offered
    assert FIRST_TARGET in GALLERY


def test_the_gallery_shows_a_picture_and_the_length_of_each():
    at = page()
    assert not at.exception
    assert html(at).count("data:image/svg") == len(SLUGS)
    assert html(at).count(" min ·") == len(SLUGS)
    at.button(key=f"open_{SLUGS[0]}").click().run()
    assert at.query_params["lesson"] in (SLUGS[0], [SLUGS[0]])


def test_a_lesson_is_also_called_by_its_number():
    assert lessons_of(str(FOLDER)).lessons[SLUGS[0]].number == "0"
    at = page(lesson="0")
    assert at.query_params["lesson"] in (SLUGS[0], [SLUGS[0]])
    assert "Lesson 0: " in html(at)


def test_the_gallery_says_where_to_begin_and_then_how_far_one_is():
    at = page()
    assert [at.button(key=f"start_{place}").label for place in (0, 1)] == ["Start with lesson 0", "or with lesson 1"]
    at.button(key="start_0").click().run()
    at.button(key="all_lessons").click().run()
    assert at.button(key="go_on").label == "Continue with lesson 0"
    assert "1 of 5 steps seen" in html(at)
    assert html(at).count("seen-bar") == 1
    at.button(key="go_on").click().run()
    assert at.query_params["step"] in ("2", ["2"])


@pytest.mark.parametrize("query", [{"lesson": "no-such"}, {"lesson": "learning", "step": "99"}, {"lesson": "<b>"}])
def test_a_bad_link_is_a_sentence(query):
    at = page(**query)
    assert not at.exception
    assert "could not be followed" in at.warning[0].value


def test_what_the_failure_gallery_ships_is_small_and_whole():
    assert sum(file.stat().st_size for file in OWN.rglob("*") if file.is_file()) < 1_500_000
    for folder in (OWN / "runs").iterdir():
        assert run_of(folder.name).curves
    assert answer_of("estimators").series


# ---- files that are no lessons --------------------------------------------------------------------------------------
def test_the_example_is_a_lesson():
    lesson = read_lesson(GOOD, "1-one.md")
    check(lesson)
    assert lesson.slug == "one"
    assert "{{" not in filled(lesson.steps[0].text, lesson)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("minutes: 3", "minutes: soon", 4, "minutes"),
        ("minutes: 3", "minutes: [", 6, "not YAML"),
        ("title: One", "title: &a One\nother: *a", 2, "anchors"),
        ("title: One", "title: !!python/object/apply:os.system ['true']", 2, "tags"),
        ("title: One", "title: {a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: 1}}}}}}}}}}}}", 2, "deeply"),
        ("title: One\n", "", 2, "title"),
        ("calls: 4}", "calls: 4, colour: red}", 6, "colour"),
        ("calls: 4}", "calls: many}", 6, "calls"),
        ("{{kl}}", "{{lk}}", 9, "not in the head"),
        ("It leaves {{kl}} nats.", "It leaves some.", 1, "not used"),
        ("It leaves", "![x](http://example.org/x.png) leaves", 9, "figure blocks"),
        ("## First", "First", 9, "before the first step"),
        ("right: 2", "right: 3", 23, "number of a choice"),
        ("[this, that]", "[this, this]", 23, "the same"),
        ("```figure", "```picture", 13, "none of"),
        ("show: curve", "show: film", 14, "show"),
        ("run: eight_gaussians\n```", "run: eight_gaussians\n", 13, "not closed"),
        ("```reveal", "```figure", 18, "come together"),
        ("run: eight_gaussians\n```", "run: nobody\n```", 9, "no run"),
        ("answer: constant_step", "answer: ../../secrets", 31, "answer"),
        ("answer: constant_step", "answer: nothing", 18, "no shipped answer"),
        ("panels: [steps]", "panels: [stairs]", 18, "no panel"),
        ("calls: 4}", "calls: 3}", 1, "ships with no"),
    ],
)
def test_what_does_not_fit_is_a_sentence_with_file_and_line(old, new, line, words):
    assert old in GOOD
    with pytest.raises(BadLesson) as problem:
        check(read_lesson(GOOD.replace(old, new, 1), "1-one.md"))
    told = str(problem.value)
    assert told.startswith(f"1-one.md, line {line}: "), told
    assert words in told
    assert "\n" not in told
    assert len(told) < 600


SPICE = st.sampled_from(
    ["---", "## ", "```figure", "```", "{{x}}", "a: &b [*b]", "!!binary x", "\t", "\x00", "- [", "<script>x</script>",
     "right: 99999999999999999999", "show: stage", "? {}", "2: 3", "numbers: null", "é" * 50, "{" * 200, "1_0: .inf",
     "date: 2026-99-99", "0o8: 1", "claims: [{less: a, than: b}]"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_a_lesson_or_a_sentence(data):
    whole = data.draw(st.sampled_from([GOOD, FILES[0].read_text(encoding="utf-8")]))
    lines = whole.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "add", "replace", "cut", "twist"])):
            case "drop":
                del lines[at]
            case "add":
                lines.insert(at, data.draw(SPICE | st.text(max_size=30)))
            case "replace":
                lines[at] = data.draw(SPICE)
            case "cut":
                lines = lines[: at + 1]
            case "twist":
                place = data.draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:place] + data.draw(SPICE | st.text(max_size=5)) + lines[at][place:]
        lines = lines or [""]
    told = ""
    try:
        assert 2 <= len(read_lesson("\n".join(lines), "7-damaged.md").steps) <= 20
    except BadLesson as problem:
        told = str(problem)
    assert told == "" or (told.startswith("7-damaged.md") and "\n" not in told)


def test_a_file_that_is_no_text_or_too_large_is_a_sentence(tmp_path):
    (tmp_path / "1-bytes.md").write_bytes(b"\xff\xfe\x00---")
    (tmp_path / "2-large.md").write_text("x" * 70_000)
    shelf = lessons_of(str(tmp_path))
    assert not shelf.lessons
    assert [problem.partition(" ")[0] for problem in shelf.problems] == ["1-bytes.md", "2-large.md"]


def test_a_broken_lesson_leaves_the_others_and_html_in_a_file_is_text(tmp_path, monkeypatch):
    (tmp_path / "1-one.md").write_text(GOOD.replace("Guess.", "<script>alert(1)</script> Guess."), encoding="utf-8")
    (tmp_path / "2-two.md").write_text(GOOD.replace("minutes: 3", "minutes: soon"), encoding="utf-8")
    monkeypatch.setenv("CONSISTENCY_LAB_LESSONS", str(tmp_path))
    at = page()
    assert not at.exception
    assert "2-two.md, line 4" in at.warning[0].value.replace("\\", "")
    at.button(key="open_one").click().run()
    at.button(key="next").click().run()
    assert not at.exception
    assert "<script>" in at.markdown[0].value  # given to Markdown, which shows it as text
    assert not at.markdown[0].allow_html
    assert "<script>" not in html(at)


def test_a_lesson_never_leaves_its_folder():
    assert Path(OWN).is_dir()
    with pytest.raises(BadLesson):
        read_lesson(GOOD.replace("run: eight_gaussians\n```", "run: ../../etc\n```"), "1-one.md")
