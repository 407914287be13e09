"""Links in a real browser: runs of another session are offered again, and back and forward restore what was set."""

import random

import pytest

from app.sharing.config_code import write_config
from cmcore.config import NetworkConfig, TargetConfig, TrainingConfig
from cmcore.targets import Stroke, write_strokes
from tests.browser.conftest import eventually, settle
from tests.browser.test_everywhere import until_link

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SMALL = NetworkConfig(width=64, depth=4)


def a_long_drawing() -> str:
    """About as long as a drawing may be, and of steps that nothing compresses."""
    chance = random.Random(5)
    strokes = [
        Stroke(chance.randint(50, 60), tuple((chance.randint(-40, 40), chance.randint(-40, 40)) for _ in range(20)))
        for _ in range(70)
    ]
    return write_strokes(strokes)


def test_runs_of_another_session_are_learned_again_with_the_same_settings(open_page):
    drawing = a_long_drawing()
    assert len(drawing) > 3_800
    circles = write_config(
        TargetConfig(name="circles"), TrainingConfig(objective="lsd", steps=60, seed=5, network=SMALL, delta=0.02)
    )
    drawn = write_config(
        TargetConfig(name="sketch", parameters={"strokes": drawing}), TrainingConfig(steps=70, seed=6, delta=0.01)
    )
    page = open_page(f"/kl?runs=checkerboard,a-1,b-2&config=a-1:{circles},b-2:{drawn}")
    page.get_by_text("2 runs of another session").wait_for()
    page.get_by_role("button", name="Train it again").nth(1).click()
    page.get_by_role("button", name="Start training").wait_for()
    page.wait_for_function(f"new URLSearchParams(location.search).get('drawing') === '{drawing}'")
    until_link(page, "steps=70")
    until_link(page, "seed=6")
    page.get_by_text("Gaussians along its lines").wait_for()
    page.get_by_role("link", name="KL", exact=True).click()
    page.get_by_text("a run of another session").wait_for()  # the other one is still offered
    page.get_by_role("button", name="Train it again").click()
    for part in ("target=circles", "objective=lsd", "steps=60", "seed=5", "network=small", "delta=0.02"):
        until_link(page, part)
    page.get_by_text("From a link: Two circles").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Open in Explore").wait_for()
    page.get_by_role("link", name="KL", exact=True).click()
    page.wait_for_function("/^checkerboard,circles-/.test(new URLSearchParams(location.search).get('runs'))")


FOREIGN = """() => [...document.querySelectorAll("main a, main img, main [href]")]
    .map(one => one.getAttribute("href") || one.getAttribute("src") || one.getAttribute("xlink:href"))
    .filter(to => /evil|mailto/.test(to))"""


HOSTILE = (
    "https://evil.example/login",
    "www.evil.example",
    "a@evil.example",
    ":material/home:",
    "![a](//evil.example)",
)


@pytest.mark.parametrize(("place", "parts"), [
    ("/", ("run", "sampler", "grid", "start", "times")),
    ("/kl", ("runs", "baselines", "score", "grid", "show")),
    ("/runs", ("runs", "n", "seed")),
])  # fmt: skip
def test_s9_nothing_that_a_link_says_becomes_a_link_an_image_or_an_icon(open_page, place, parts):
    asked = dict(zip(parts, HOSTILE, strict=False))
    page = open_page(f"{place}?{'&'.join(f'{name}={text}' for name, text in asked.items())}")
    page.get_by_test_id("stAlert").nth(len(parts) - 1).wait_for()

    def each_is_shown_as_it_is():
        words = " ".join(page.get_by_test_id("stAlert").all_inner_texts()).replace("\u2060", "")
        return all(text[:20] in words for text in asked.values())

    assert eventually(page, each_is_shown_as_it_is)
    assert page.evaluate(FOREIGN) == []


def test_back_and_forward_on_train_restore_what_was_set(open_page):
    page = open_page("/train")
    page.get_by_role("button", name="Start training").wait_for()
    toys = page.locator(".st-key-toy button")

    def at(link: str, words: str) -> None:
        page.wait_for_function("search => location.search === search", arg=link)
        page.locator("p.choice b", has_text=words).first.wait_for()
        settle(page)

    at("", "Two moons")
    toys.nth(3).click()
    at("?target=circles", "Two circles")
    page.get_by_text("Network, steps, seed").click()
    page.locator(".st-key-train_steps input").fill("300")
    page.locator(".st-key-train_steps input").press("Enter")
    at("?target=circles&steps=300", "Two circles")
    toys.nth(5).click()
    at("?target=two_spirals&steps=300", "Two spirals")
    page.get_by_text("Draw", exact=True).click()
    at("?drawing=&steps=300", "Your drawing")
    page.get_by_text("Your data (CSV)", exact=True).click()
    page.wait_for_function("location.search === '?table=file&steps=300'")
    page.go_back()
    at("?drawing=&steps=300", "Your drawing")
    page.go_back()
    at("?target=two_spirals&steps=300", "Two spirals")
    page.go_back()
    at("?target=circles&steps=300", "Two circles")
    page.go_back()
    at("", "Two moons")
    page.wait_for_function("document.querySelector('.st-key-train_steps input').value === ''")
    page.go_forward()
    at("?target=circles&steps=300", "Two circles")
    page.wait_for_function("document.querySelector('.st-key-train_steps input').value === '300'")
    page.go_forward()
    at("?target=two_spirals&steps=300", "Two spirals")


def test_back_and_forward_in_lessons_restore_the_step_and_keep_the_answer(open_page):
    page = open_page("/lessons")

    def at(link: str, words: str) -> None:
        page.wait_for_function("search => location.search === search", arg=link)
        page.locator("h1.question", has_text=words).wait_for()
        settle(page)

    page.get_by_role("button", name="What a flow map is").click()
    at("?lesson=flow-map&step=1", "A path for every point")
    page.get_by_role("button", name="Step 3:").click()
    at("?lesson=flow-map&step=3", "One jump or sixteen?")
    page.locator(".st-key-lesson_question [role=radiogroup] label").nth(1).click()
    page.get_by_role("button", name="Reveal").click()
    page.get_by_text("Not this time.").wait_for()
    page.get_by_role("button", name="All lessons").first.click()
    at("", "Lessons")
    page.get_by_role("button", name="More steps, less KL").click()
    at("?lesson=more-steps&step=1", "One number for a cloud")
    page.go_back()
    at("", "Lessons")
    page.go_back()
    at("?lesson=flow-map&step=3", "One jump or sixteen?")
    page.get_by_text("Not this time.").wait_for()
    page.go_back()
    at("?lesson=flow-map&step=1", "A path for every point")
    page.go_forward()
    at("?lesson=flow-map&step=3", "One jump or sixteen?")


def test_no_choice_is_lost_on_the_way_through_the_pages(open_page):
    page = open_page("/?sampler=renoise&from=model")
    pages = ("Diagnostics", "Train", "Explore", "KL", "Runs", "Explore", "Diagnostics", "Explore")
    page.get_by_text("Renoise", exact=True).first.wait_for()
    for name in pages:  # without waiting for what each page draws
        page.get_by_role("link", name=name, exact=True).click()
    until_link(page, "sampler=renoise")
    until_link(page, "from=model")
    page.get_by_text("KL(model ∥ data), δ = 0.02").first.wait_for()
    assert not page.get_by_text("Traceback").count()
