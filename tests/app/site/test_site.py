"""The static site: it works from a file, asks nobody, leads nowhere that is not there, and names are only names."""

import base64
import json

import pytest

import cmcore as cm
from app.components.buffer import unpack
from app.kl.curves import SEEN_FROM
from app.pages.lessons.catalogue import lessons_of, shelf
from app.pages.lessons.model import StageFigure
from app.runs.library import SHIPPED, read_run
from app.site.build import lab_address, runs_of, write_site
from app.site.explore import _views, explore_pages
from app.site.figures import Picture, drawn
from app.site.files import LARGEST_PAGE, Site, SiteError
from app.site.kl import kl_pages
from app.site.lessons import lesson_pages, path_of
from app.site.scaling import FIRST, scaling_pages
from app.site.settings import settings_of
from app.site.shared import share_frame
from app.stage.scene import STEPS
from cmcore.measure import Curve
from tests.app.conftest import untrained
from tests.app.site.pages_of_site import Reader, check_site, pages

LAB = "https://lab.example.org"
EMPTY = b"<meta http-equiv content=\"default-src 'none'\">"
HOSTILE = '<img src=x onerror=alert(1)>"; {{ 7*7 }} \u202e'
LESSON = """---
title: A lesson & its <b>title</b>
summary: What <script>alert(1)</script> is not.
minutes: 1
---

## First $x_t$

Words with <script>alert(1)</script> and $\\sideset{a}{b}$.

```figure
show: stage
run: {run}
steps: 2
layers: [density, jumps]
card: true
```

## Then

```question
ask: How many?
choices: ["<i>one</i>", two]
right: 2
why: Because.
```

```reveal
show: curve
run: eight_gaussians
```

Words.
"""


def collected(site, *parts):
    """The files of some parts of a site."""
    files = {}
    share_frame(site)
    for part in parts:
        files.update(part(site))
        files.update(site.taken())
    return files


def site_of(runs, told=None):
    return Site(runs, LAB, "0", (told if told is not None else []).append)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The folder of a barely trained run with a name that is none."""
    folder = tmp_path_factory.mktemp("runs") / HOSTILE.replace("/", "")
    cm.save(untrained(), folder)
    return folder


@pytest.fixture(scope="module")
def files(hostile):
    """All of a site but its lessons, with few settings of the dials."""
    with pytest.MonkeyPatch.context() as few:
        few.setattr("app.site.scaling.DIMS", (10, 1000))
        few.setattr("app.site.scaling.ERRORS", (0.1,))
        return collected(site_of(runs_of([hostile])), explore_pages, kl_pages, scaling_pages)


def test_no_page_asks_anybody_and_every_link_leads_somewhere(files):
    lessons = dict.fromkeys(["lessons.html", *(path_of(slug, 1) for slug in [*shelf().lessons][:2])], EMPTY)
    check_site({**files, **lessons}, lab=LAB, largest=LARGEST_PAGE)


def test_the_name_of_a_given_run_is_text_everywhere(files):
    shown = 0
    for path, page in pages(files):
        assert "<img src=x" not in files[path].decode(), path
        shown += any("onerror=alert(1)" in words for words in page.words)
    assert shown >= 3  # the page of the run, its curves, and the list of all runs
    assert all(set(path) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") for path in files)


def test_a_run_without_measured_curves_says_so_and_shows_no_number(files):
    explore = files["index.html"].decode()
    assert explore.count("Not measured.") == 1  # whatever is chosen
    assert "card-value" not in explore
    assert "Nothing was measured of this run" in files[next(path for path in files if path.startswith("kl/"))].decode()


def test_two_runs_of_one_name_are_two_pages(tmp_path):
    folders = [tmp_path / part / "rings" for part in "ab"]
    for folder in folders:
        cm.save(untrained(), folder)
    runs = runs_of([*folders, folders[0]])
    assert len(runs) == 3
    assert len({run.key for run in runs.values()}) == 3


def test_curves_beside_a_given_run_are_its_measured_ones(tmp_path):
    folder = tmp_path / "moons"
    cm.save(untrained("moons"), folder)
    named = json.loads((SHIPPED / "moons" / "curves.json").read_text())
    (folder / "curves.json").write_text(json.dumps(named))
    run = next(iter(runs_of([folder]).values()))
    assert settings_of(run) == settings_of(read_run(SHIPPED / "moons"))
    assert len(settings_of(run)) >= 2 * len(SEEN_FROM)


def test_every_measured_point_of_a_run_stands_in_its_table():
    run = read_run(SHIPPED / "three_gaussians")
    files = collected(site_of({"three_gaussians": run}), kl_pages)
    words = files["kl/three_gaussians.html"].decode()
    learned = [curve for curve in run.curves.values() if curve.sampler in ("deterministic", "renoise")]
    rows = sum(len(Curve.from_json(curve.to_json()).estimates) for curve in learned)
    assert words.count('<th scope="row">Three Gaussians</th>') == rows
    for name in ("estimator", "direction", "floor", "95 % interval", "seeds"):
        assert f'<th scope="col">{name}</th>' in words


def test_a_number_stands_only_beside_the_settings_that_it_was_measured_with():
    run = read_run(SHIPPED / "three_gaussians")
    views, labels = _views(run)
    whens = [dict(view.when) for view in views]
    assert [when["sampler"] for when in whens] == [setting.sampler for setting in settings_of(run)]
    for when in whens:
        assert set(when) >= {"sampler", "from", "grid", "delta", "times"}
        assert ("eta" in when) == (when["sampler"] != "deterministic")
    assert len({tuple(when.items()) for when in whens}) == len(whens)
    assert set(labels) == {f"{sampler} {seen}" for sampler in ("deterministic", "renoise") for seen in SEEN_FROM}


def test_a_learned_map_travels_once_and_is_drawn_by_the_reader(files):
    page = Reader(files["index.html"].decode())
    weights = {address for address in page.loaded if address.startswith("@maps/")}
    assert len(weights) == 1
    scenes = {address[1:] for address in page.loaded if address.startswith("@scenes/")}
    assert len(scenes) == 3  # one for each sampler
    for scene in scenes:
        text = files[scene].decode()
        header, arrays = unpack(base64.b64decode(json.loads(text[text.index("(") + 1 : text.rindex(")")])))
        assert header["drawing"]["map"]
        assert not header["answered"]
        assert header["movable"]
        assert not any(name.startswith("states") for name in arrays)


def test_a_map_that_the_browser_has_no_code_for_comes_with_its_states():
    site = site_of({})
    figure = StageFigure(show="stage", target="eight_gaussians", map="ddim")
    scripts = drawn(site, figure).scenes
    assert len(scripts) == 1
    text = site.shared[scripts[0]].decode()
    header, arrays = unpack(base64.b64decode(json.loads(text[text.index("(") + 1 : text.rindex(")")])))
    assert header["drawing"] is None
    assert {f"states_{n}" for n in STEPS} <= set(arrays)


def test_every_setting_of_the_dials_has_its_chart(files):
    claims = Reader(files["scaling.html"].decode())
    assert len({address for address in claims.loaded if address.startswith("@claims/")}) == 2 * 2 * 1
    first = f"{FIRST['data']}-{FIRST['d']}-{FIRST['error']:g}"
    assert any(first in address for address in claims.loaded)


# ---- lessons --------------------------------------------------------------------------------------------------------
@pytest.fixture
def taught(tmp_path, monkeypatch):
    """The pages of a lesson whose words are none of a teacher's, and what was said of them."""
    text = LESSON.replace("{run}", "three_gaussians")
    (tmp_path / "1-one.md").write_text(text)
    (tmp_path / "2-two.md").write_text("no lesson")
    monkeypatch.setenv("CONSISTENCY_LAB_LESSONS", str(tmp_path))
    lessons_of.clear()
    told = []
    yield collected(site_of({"three_gaussians": read_run(SHIPPED / "three_gaussians")}, told), lesson_pages), told
    lessons_of.clear()


def test_every_step_has_its_address_and_its_words_execute_nothing(taught):
    files, told = taught
    assert {path_of("one", 1), path_of("one", 2), "lessons.html"} <= set(files)
    for path, page in pages(files):
        assert page.inline == [], path
        assert all(script.endswith(".js") for script in page.scripts)
    first = files[path_of("one", 1)].decode()
    assert "&lt;script&gt;alert(1)" in first
    assert "<msub><mi>x</mi><mi>t</mi></msub>" in first
    assert any("sideset" in words and "step 1" in words for words in told)
    assert any("2-two.md" in words for words in told)


def test_an_answer_is_hidden_until_somebody_has_predicted(taught):
    files, _ = taught
    page = files[path_of("one", 2)].decode()
    assert 'class="lesson-question answered" hidden' in page
    assert page.count('class="after-answer" hidden') == 2
    assert 'data-right="1"' in page


def test_figures_that_differ_only_in_what_they_show_share_their_scene(monkeypatch):
    made = []
    monkeypatch.setattr(
        "app.site.figures.picture_of", lambda *_, **choices: made.append(choices) or Picture("scenes/a.js")
    )
    site = site_of({})
    at = {"show": "stage", "target": "two_atoms", "map": "exact", "delta": 0.05}
    for changed in ({"steps": 1}, {"steps": 4}, {"layers": ("density",)}, {"steps": 4, "seed": 1}):
        drawn(site, StageFigure(**{**at, **changed}))
    assert len(made) == 2  # another seed is another scene


# ---- what cannot be written -----------------------------------------------------------------------------------------
def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SiteError, match="is not empty"):
        write_site(tmp_path, runs=(), lab=LAB)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(SiteError, match="is a file"):
        write_site(tmp_path / "mine.txt", runs=(), lab=LAB)


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "lab.example.org", "https://", "https://a.example/?q=1", ""]
)
def test_a_lab_has_an_address_of_the_web(address):
    with pytest.raises(SiteError, match="address"):
        lab_address(address)
    assert lab_address("https://a.example/lab/") == "https://a.example/lab"
