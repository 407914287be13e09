"""How fast a browser draws from a shipped run: whole chains at once on WebGPU, and jump by jump in WebAssembly.

    python -m benchmarks.webgpu [--run two_spirals] [--software] [--tries 5]

Starts headless Chromium on this machine, with its graphics processor, or with one made of software. Prints the adapter,
milliseconds of a renoised draw by both ways (best of the tries) with the largest difference of landings that 99 of 100
keep to, and what the stage's own trial says: from how many network calls on it would draw on WebGPU.
"""

import argparse
import base64
from pathlib import Path

from playwright.sync_api import sync_playwright

import cmcore as cm
from app.components import flow_map
from benchmarks.browser import find_browser

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1/"  # where no server is; a page may have WebGPU there
MESSAGE = (ROOT / "app" / "components" / "message.js").read_text(encoding="utf-8")
MEASURE = """
export async function measure(text, sizes, tries) {
  const map = openMap(readMessage(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))), compileNetwork(NETWORK_WASM));
  const adapter = await navigator.gpu?.requestAdapter(), device = await openDevice();
  if (!device) return null;
  const whole = await onDevice(map.form, device), { vendor, architecture, description } = adapter.info, rows = [];
  for (const [n, steps] of sizes) {
    const chain = chainOf("renoise", namedGrid("uniform_angle", steps, map.horizon, 0.02), 0.5, map.delta);
    const noise = startingNoise(n, map.dim, 0), fresh = freshNoise(n, map.dim, chain, 0);
    const best = async (drawing) => {
      let least = Infinity;
      for (let k = 0; k < tries; k++) {
        const begin = performance.now();
        await drawing();
        least = Math.min(least, performance.now() - begin);
      }
      return least;
    };
    const { states, landings } = await whole.draw(chain, noise, fresh);
    const off = chain.flatMap(({ t, s }, k) => {
      const expected = map.jump(states[k], t, s);
      return Array.from(landings[k], (y, i) => Math.abs(y - expected[i]));
    }).sort((a, b) => a - b);
    const atOnce = await best(() => whole.draw(chain, noise, fresh));
    const byJumps = await best(() => draw(map, chain, noise, fresh));
    rows.push([n, steps, atOnce, byJumps, off[Math.floor(0.99 * off.length)]]);
  }
  const begin = performance.now();
  await tryOut(map, device, async () => true);
  return { adapter: [vendor, architecture, description].filter(Boolean).join(" "), rows,
    least: map.atOnce ? map.atOnce.least : null, trial: performance.now() - begin };
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="two_spirals")
    parser.add_argument("--software", action="store_true")
    parser.add_argument("--tries", type=int, default=5)
    choices = parser.parse_args()
    packed = flow_map.bundle(cm.load(ROOT / "assets" / "pretrained" / choices.run))
    assert packed is not None
    code = f"{MESSAGE}\n{flow_map.FLOW_MAP_WORKER}\n{MEASURE}"
    kind = "--use-webgpu-adapter=swiftshader" if choices.software else "--enable-features=Vulkan"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", "--enable-unsafe-webgpu", kind]
        )
        page = browser.new_page()
        page.route(f"{ADDRESS}code.js", lambda route: route.fulfill(body=code, content_type="text/javascript"))
        page.route(ADDRESS, lambda route: route.fulfill(body="<title>A page</title>", content_type="text/html"))
        page.goto(ADDRESS)
        measured = page.evaluate(
            "async (given) => (await import('/code.js')).measure(...given)",
            [base64.b64encode(packed).decode(), [(100, 4), (500, 4), (2_000, 4)], choices.tries],
        )
        browser.close()
    if measured is None:
        print("This Chromium has no WebGPU adapter; --software asks for one made of software.")
        return
    print(f"adapter: {measured['adapter']}")
    print(f"{'points':>6} {'N':>3} {'WebGPU, ms':>11} {'WebAssembly, ms':>16} {'99 % within':>12}")
    for n, steps, at_once, by_jumps, off in measured["rows"]:
        print(f"{n:6,} {steps:3} {at_once:11.1f} {by_jumps:16.1f} {off:12.1e}")
    least = measured["least"]
    result = "WebAssembly stays" if least is None else f"WebGPU draws from {least:,.0f} network calls on"
    print(f"the trial: {result}, after {measured['trial']:.0f} ms")


if __name__ == "__main__":
    main()
