"""How fast the lab is in a real browser: asked beside measured, medians over several tries.

    python benchmarks/page.py [--only cold,warm,stage,drags,explorer,…] [--tries 10] [--port 8660]

Starts the server itself and drives headless Chromium (software rendering) on this machine, so that browser and server
share its cores. Times in the page are counted by the browser from the input event to the frame that shows the answer.
"""

import argparse
import base64
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from benchmarks.browser import find_browser

ROOT = Path(__file__).parents[1]
PATIENCE = 180_000
"""Milliseconds that a loaded machine may take before a try counts as failed."""
WATCH = """
window.firstPicture = null;
window.lastInput = 0;
window.sent = []; // messages to the server
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (message) { window.sent.push(message); return send.call(this, message); };
for (const kind of ["pointerdown", "pointermove", "pointerup", "keydown", "input"])
  addEventListener(kind, () => { window.lastInput = performance.now(); window.sentBefore = window.sent.length; }, true);
const look = () => {
  if (window.particleStage?.frames >= 2) window.firstPicture = performance.now(); else requestAnimationFrame(look);
};
requestAnimationFrame(look);
window.sinceInput = condition => new Promise(done => {
  const holds = new Function(`return (${condition})`);
  const end = () => {
    window.sentAtPicture = window.sent.length;
    done(performance.now() - window.lastInput);
  };
  const check = () => holds() ? end() : requestAnimationFrame(check);
  check();
});
window.draggedFor = (seconds, target, x, y) => new Promise(done => {
  const stage = window.particleStage, began = performance.now();
  let frames = 0, painted = stage.frames;
  const move = () => {
    const passed = (performance.now() - began) / 1000;
    if (stage.frames !== painted) { frames++; painted = stage.frames; }
    if (passed > seconds) return done(frames / passed);
    const at = { clientX: x + 40 * Math.sin(3 * passed), clientY: y + 40 * Math.cos(2 * passed) };
    target.dispatchEvent(new PointerEvent("pointermove", { pointerId: 1, isPrimary: true, bubbles: true, ...at }));
    requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
});
window.framesFor = seconds => new Promise(done => {
  const stage = window.particleStage, frames = stage.frames, began = performance.now();
  const check = () => {
    const passed = (performance.now() - began) / 1000;
    if (passed < seconds) requestAnimationFrame(check); else done((stage.frames - frames) / passed);
  };
  requestAnimationFrame(check);
});
"""
VALUE = "[...document.querySelectorAll('.card-value strong')].find(e => e.offsetParent)?.innerText"
FIRST_LOOK = "document.querySelector('.st-key-number_area')?.innerText.includes('A first look')"
FRESH = "!document.querySelector('.st-key-number_area [data-stale=true], .card-skeleton')"


SLIDER = "!!document.querySelector('[data-testid=stSlider] :is(input, [role=slider])')"
PLAIN = "import streamlit as st\n\nst.title('A slider')\nst.slider('N', 1, 16)\n"


# ---- the server and the browser ---------------------------------------------------------------------------------
@contextmanager
def server(port: int, folder: Path = ROOT) -> Iterator[str]:
    """The lab, or the app of another folder, from its start until it answers."""
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"The server ended at once; is port {port} in use?")
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def plain_app() -> Iterator[Path]:
    """The folder of an app with a title and a slider, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "streamlit_app.py").write_text(PLAIN)
        yield Path(folder)


@contextmanager
def opened(browser: Browser, address: str, *, watch: str = WATCH, **options: object) -> Iterator[Page]:
    """A page in a context of its own, with a stop-watch in it."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 980}, "bypass_csp": True, **options})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(watch)
    page.goto(address)
    try:
        yield page
    finally:
        context.close()


def moving(page: Page) -> None:
    page.wait_for_function("window.firstPicture !== null")


# ---- the parts --------------------------------------------------------------------------------------------------
def cold(browser: Browser, port: int, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    seconds = []
    for _ in range(tries):
        began = time.time()
        with server(port) as address, opened(browser, address) as page:
            moving(page)
            seconds.append(page.evaluate("(performance.timeOrigin + window.firstPicture) / 1000") - began)
    yield "start of the server → first picture", "≤ 3 s", seconds


def warm(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    """In turn with Streamlit's own smallest page, so that what else the machine does falls on both."""
    seconds, ratios = [], []
    plain_watch = WATCH.replace("window.particleStage?.frames >= 2", SLIDER)
    with plain_app() as folder, server(int(address.rpartition(":")[2]) + 1, folder) as plain:
        for _ in range(tries + 1):  # the first fills the caches
            with opened(browser, plain, watch=plain_watch) as page:
                moving(page)
                own = page.evaluate("window.firstPicture") / 1000
            with opened(browser, address) as page:
                moving(page)
                seconds.append(page.evaluate("window.firstPicture") / 1000)
            ratios.append(seconds[-1] / own)
    yield "navigation → first moving picture", "≤ 2.5 s", seconds[1:]
    yield "that ÷ navigation → Streamlit's own title and slider", "≤ 1.6", ratios[1:]


def stage(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    for particles, asked in ((2_000, "≥ 55 fps"), (10_000, "≥ 50 fps")):
        with opened(browser, f"{address}/?particles={particles}") as page:
            moving(page)
            page.wait_for_timeout(4_000)  # the layers arrive
            rates = []
            while len(rates) < tries:
                page.wait_for_function("window.particleStage.u < 0.1")
                rates += [page.evaluate("window.framesFor(2)") for _ in range(3)]
            yield f"stage with {particles:,} particles", asked, rates[:tries]


def bytes_sent(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    sizes: list[int] = []
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(WATCH)
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sizes.append(len(frame))))
    page.goto(address)
    moving(page)
    page.wait_for_timeout(5_000)
    context.close()
    yield "largest message, 2,000 particles and their layers, kB", "≤ 700 kB", [max(sizes) / 1000]
    yield "2,000 particles × 64 frames as the stage packs them, kB", "≤ 700 kB", [packed_kilobytes()]


def packed_kilobytes() -> float:
    """A message with 64 states of 2,000 particles, and the density under them."""
    import numpy as np

    from app.components.particle_stage import Draw, Scene, scene_message

    states = np.zeros((64, 2_000, 2))
    places = tuple(np.linspace(0, 1, 64))
    draw = Draw(times=places[::-1], progress=places, states=states, landings=None, legs=None, summary="")
    scene = Scene("", 3.0, (1.5, 0.0), {63: draw}, density=np.zeros((360, 360), np.uint8))
    return len(scene_message(scene, steps=63)) / 1000


def answers(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    with opened(browser, address) as page:
        moving(page)
        page.wait_for_timeout(4_000)
        pictures, cards = [], []
        slider = page.get_by_role("slider", name="Network calls N")
        for i in range(tries):
            n, key = ((8, "ArrowRight"), (4, "ArrowLeft"))[i % 2]
            before = page.evaluate(VALUE)
            slider.press(key)
            pictures.append(page.evaluate(f"window.sinceInput('window.particleStage.steps === {n}')"))
            cards.append(page.evaluate("v => window.sinceInput(v)", f"{VALUE} !== '{before}' && {FRESH}"))
            page.wait_for_timeout(1_500)
        yield "new N → new picture, ms", "≤ 300 ms", pictures
        yield "new N → KL card, ms", "≤ 1000 ms", cards

        starts = []
        box = page.locator("canvas.view").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for i in range(tries):
            page.evaluate("window.oldStart = JSON.stringify(window.particleStage.start)")
            page.mouse.move(x - 90 + i, y - 60)
            page.mouse.down()
            page.mouse.move(x + 60 - 7 * i, y - 50 + 5 * i, steps=3)
            page.mouse.up()
            done = "window.particleStage.own !== null && JSON.stringify(window.particleStage.start) !== window.oldStart"
            starts.append(page.evaluate(f"window.sinceInput('{done}')"))
            page.wait_for_timeout(1_000)
            page.locator("canvas.view").focus()
            page.keyboard.press("Escape")
            page.wait_for_function("window.particleStage.start === null")
            page.wait_for_timeout(500)
        yield "new start → its paths for every N, ms", "≤ 300 ms", starts
    yield from answers_to_eta(browser, address, tries)


CHOICE = "JSON.stringify([particleStage.key, particleStage.times, particleStage.pictures])"
"""What is on the stage: a new picture has another."""


def drags(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    """From an input to the picture that it makes, and the messages that the server got before that.

    While a KL is measured its card asks by itself every moment how it stands; those messages are counted apart.
    """
    for particles, asked in ((500, "≤ 33 ms"), (2_000, "≤ 60 ms")):
        with opened(browser, f"{address}/?sampler=renoise&eta=1&particles={particles}") as page:
            moving(page)
            page.get_by_text("Times and noise").click()
            page.get_by_role("button", name="Pause").click()
            page.wait_for_timeout(6_000)
            yield from dragged(page, particles, asked, tries)


def dragged(page: Page, particles: int, asked: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    """η, a time and a start by the pointer, the seed by a key."""
    eta, seed = page.get_by_role("slider", name="η as a share of t"), page.get_by_role("spinbutton", name="Seed")
    canvas, messages, picture = page.locator("canvas.view"), [0.0, 0.0], f"{CHOICE} !== window.shown"
    places = {"η": eta, "time": page.get_by_role("slider", name="Time 2 of 3"), "start": canvas}
    for name, place in places.items():
        times, (x, y) = [], middle_of(place)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 12, y + 12)
        page.wait_for_timeout(1_000)
        for i in range(tries):
            page.evaluate(f"window.shown = {CHOICE}")
            page.mouse.move(x - 14 - 9 * (i + 1), y + 14 + i)
            times.append(page.evaluate(f"window.sinceInput('{picture}')"))
            messages = [sum(pair) for pair in zip(messages, sent_before_picture(page), strict=True)]
            page.wait_for_timeout(50)
        if place is canvas:
            where = [canvas.element_handle(), x, y]
            rate = page.evaluate("([place, x, y]) => draggedFor(3, place, x, y)", where)
            yield f"frames a second while a start is dragged, {particles:,} particles", "≥ 55", [rate]
        page.mouse.up()
        page.wait_for_timeout(3_000)
        yield f"{name} dragged → new picture, {particles:,} particles, ms", asked, times
    yield f"messages to the server of those pictures, {particles:,} particles", "0", messages[:1]
    yield "looks of the page at what is measured, before those pictures", "any", messages[1:]
    times = []
    for _ in range(tries):
        page.evaluate(f"window.shown = {CHOICE}; void (window.took = window.sinceInput('{picture}'))")
        seed.press("ArrowUp")  # which returns two frames after the key went down
        times.append(page.evaluate("window.took"))
        page.wait_for_timeout(1_500)
    yield f"new seed → new picture, {particles:,} particles, ms", asked, times


def sent_before_picture(page: Page) -> tuple[float, float]:
    """How many messages went to the server between the last input and its picture, and how many looks by themselves."""
    from streamlit.proto.BackMsg_pb2 import BackMsg

    texts = page.evaluate(
        "sent.slice(sentBefore, sentAtPicture).map(each => btoa(String.fromCharCode(...new Uint8Array(each))))"
    )
    messages = [BackMsg.FromString(base64.b64decode(text)) for text in texts]
    looks = sum(message.rerun_script.is_auto_rerun for message in messages)
    return len(messages) - looks, looks


def middle_of(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def explorer(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    """What a minute of somebody who explores costs the server: something is moved every two seconds."""
    del tries
    with opened(browser, f"{address}/?sampler=renoise") as page:
        moving(page)
        page.get_by_text("Times and noise").click()
        page.wait_for_timeout(20_000)  # the first curves are measured
        eta, calls = (
            page.get_by_role("slider", name="η as a share of t"),
            page.get_by_role("slider", name="Network calls N"),
        )
        seed, canvas = page.get_by_role("spinbutton", name="Seed of the noise"), page.locator("canvas.view")
        box = canvas.bounding_box()
        assert box is not None
        began, used = time.monotonic(), processor_seconds()
        for i in range(30):
            if i % 5 == 0:
                if not eta.is_visible():
                    page.get_by_text("Times and noise").click()
                eta.press("ArrowRight")
            elif i % 5 == 1:
                calls.press("ArrowRight" if i % 2 else "ArrowLeft")
            elif i % 5 == 2:
                if not seed.is_visible():
                    page.get_by_text("Times and noise").click()
                seed.press("ArrowUp")
            else:
                x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
                page.mouse.move(x + 60, y + 5 * i)
                page.mouse.down()
                page.mouse.move(x - 60 + 3 * i, y - 40, steps=8)
                page.mouse.up()
            page.wait_for_timeout(2_000)
        minutes = (time.monotonic() - began) / 60
        yield (
            "processor time of the server per minute of exploring, s",
            "a tenth",
            [(processor_seconds() - used) / minutes],
        )


def processor_seconds() -> float:
    """Of the server that this script started, its threads together."""
    import psutil

    servers = [child for child in psutil.Process().children() if "streamlit" in " ".join(child.cmdline())]
    return sum(sum(child.cpu_times()[:2]) for child in servers)


ANSWERS = f"""
function look() {{
  const seen = window.seen, now = performance.now() - window.lastInput;
  if ({CHOICE} !== seen.shown) seen.picture ??= now;
  if (seen.picture && {FRESH}) seen.first ??= now;
  if (seen.first && {FRESH} && !({FIRST_LOOK})) seen.last = now; else requestAnimationFrame(look);
}}
"""
"""When the picture, a first number and the whole estimate came, in milliseconds after the last input."""


def answers_to_eta(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    with opened(browser, f"{address}/?sampler=renoise&eta=1&delta=0.03") as page:
        moving(page)
        page.get_by_text("Times and noise").click()
        slider = page.get_by_role("slider", name="η as a share of t")
        page.wait_for_timeout(4_000)
        pictures, first, last = [], [], []
        for _ in range(tries):  # always smaller: no value was measured before
            page.evaluate(f"window.seen = {{ shown: {CHOICE} }}; ({ANSWERS})()")
            slider.press("ArrowLeft")
            page.wait_for_function("window.seen.last")
            for times, name in ((pictures, "picture"), (first, "first"), (last, "last")):
                times.append(page.evaluate(f"window.seen.{name}"))
            page.wait_for_timeout(6_000)  # the rest of the curve is measured meanwhile
        yield "new η → new picture, ms", "≤ 300 ms", pictures
        yield "new η → KL card, a first look, ms", "≤ 1000 ms", first
        yield "new η → KL card, its 131,072 landings, ms", "longer; shown meanwhile: the first look", last


def training(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    ratios, latencies, pictures, messages = [], [], [], 0.0
    for _ in range(tries):
        alone = headless_pace()
        with opened(browser, f"{address}/train?target=eight_gaussians") as page:
            start_training(page, steps=3_000)
            paced = page.evaluate(PACE)
            ratios.append(paced / alone)
            for n in (8, 2, 4):
                before = page.evaluate("particleStage.pictures")
                page.get_by_role("button", name=f"N = {n}").click()
                there = f"particleStage.steps === {n} && particleStage.pictures > {before}"
                pictures.append(page.evaluate(f"window.sinceInput('{there}')"))
                messages += sent_before_picture(page)[0]
            page.get_by_role("link", name="Explore").click()
            page.wait_for_function("window.particleStage?.frames > 2")
            slider = page.get_by_role("slider", name="Network calls N")
            for n, key in ((8, "ArrowRight"), (4, "ArrowLeft"), (8, "ArrowRight")):
                before = page.evaluate(VALUE)
                slider.press(key)
                page.evaluate(f"window.sinceInput('window.particleStage.steps === {n}')")
                latencies.append(page.evaluate("v => window.sinceInput(v)", f"{VALUE} !== '{before}'"))
                page.wait_for_timeout(700)
    yield "training with the page open ÷ headless", "≥ 0.8", ratios
    yield "another N of the map in training → picture, ms", "≤ 60 ms", pictures
    yield "messages to the server of those pictures", "0", [messages]
    yield "an answer of the page during training, ms", "≤ 200 ms", latencies


PACE = """
new Promise(done => {
  const step = () => {
    const found = document.querySelector('[class*=st-key-status_area]')?.textContent.match(/step ([\\d,]+)/);
    return found ? Number(found[1].replaceAll(",", "")) : 0;
  };
  let first = null;
  const look = () => {
    const now = performance.now(), at = step();
    if (first === null && at > 300) first = { now, at };
    if (first && now - first.now > 6000 && at > first.at) done((at - first.at) / (now - first.now) * 1000);
    else setTimeout(look, 100);
  };
  look();
})
"""


def start_training(page: Page, *, steps: int) -> None:
    page.get_by_text("Network, steps, seed").click()
    page.get_by_label("Steps instead of seconds", exact=True).fill(str(steps))
    page.keyboard.press("Enter")
    page.wait_for_timeout(1_500)
    page.get_by_role("button", name="Start training").click()


def headless_pace() -> float:
    """Steps a second of the same training without a page, in a process of its own."""
    script = (
        "import time, cmcore as cm\n"
        "from cmcore.config import TrainingConfig\n"
        "first = None\n"
        "for event in cm.training(cm.make_target('eight_gaussians'), TrainingConfig(steps=3000)):\n"
        "    now = time.monotonic()\n"
        "    if first is None and event.step > 300: first = (now, event.step)\n"
        "    if first and now - first[0] > 6: break\n"
        "print((event.step - first[1]) / (now - first[0]))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True)
    return float(done.stdout)


def thirty(browser: Browser, address: str, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    seconds, values = [], []
    for _ in range(tries):
        with opened(browser, f"{address}/train?target=eight_gaussians") as page:
            start = page.get_by_role("button", name="Start training")
            start.wait_for()
            page.wait_for_timeout(2_000)
            began = time.monotonic()
            start.click()
            page.get_by_role("button", name="Open in Explore").click()
            page.wait_for_function("window.particleStage?.key.startsWith('eight_gaussians-')")
            page.locator(".st-key-sampler").get_by_text("Renoise").click()
            page.wait_for_function("document.querySelector('.card h2')?.innerText.includes('δ = 0.02')")
            page.wait_for_function(f"{VALUE} && {FRESH}")
            seconds.append(time.monotonic() - began)
            values.append(float(re.sub(r"[^0-9.]", "", page.evaluate(VALUE))))
    yield "click on Train → KL(p_δ‖q) at N = 4, δ = 0.02, η = t/2 on screen", "≤ 30 s", seconds
    yield "that KL", "≤ .0035 nats", values


PARTS: dict[str, Callable] = {
    "warm": warm,
    "stage": stage,
    "drags": drags,
    "explorer": explorer,
    "bytes": bytes_sent,
    "answers": answers,
    "training": training,
    "thirty": thirty,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(["cold", *PARTS]), help="parts, with commas between them")
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--port", type=int, default=8660)
    parser.add_argument("--browser", default=find_browser())
    choices = parser.parse_args()
    wanted = choices.only.split(",")
    if unknown := set(wanted) - {"cold", *PARTS}:
        raise SystemExit(f"There is no part {', '.join(sorted(unknown))}; there is cold, {', '.join(PARTS)}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=choices.browser, args=["--no-sandbox"])
        print(f"{'':62} {'asked':>12} {'median':>9} {'least':>9} {'most':>9}  tries", flush=True)
        if "cold" in wanted:
            show(cold(browser, choices.port, choices.tries))
        if rest := [name for name in wanted if name in PARTS]:
            with server(choices.port) as address:
                for name in rest:
                    show(PARTS[name](browser, address, choices.tries))
        browser.close()


def show(rows: Iterator[tuple[str, str, list[float]]]) -> None:
    for name, asked, values in rows:
        middle = statistics.median(values)
        numbers = " ".join(f"{value:9.4g}" for value in (middle, min(values), max(values)))
        print(f"{name:62} {asked:>12} {numbers}  {len(values)}", flush=True)


if __name__ == "__main__":
    main()
