"""How much of the screen answers a finger: of every control, the stretch through its middle that reaches it."""

from playwright.sync_api import Page

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
LEAST = 40
"""Pixels, each way."""

# What lies under a point counts, so that a label or a pseudo-element around a control counts too. Links and explained
# words within a sentence are as large as its line lets them be (WCAG 2.5.8 excepts them).
MEASURE = """(root, [least, scroll]) => {
  const CONTROLS = "button, a[href], summary, select, textarea, input, " +
    "[role=radio], [role=tab], [role=option], [role=slider]";
  const above = (node) => node.parentNode ?? node.host ?? null;
  const within = (node, place) => { for (; node; node = above(node)) if (node === place) return true; return false; };
  const under = (x, y) => {
    let at = document.elementFromPoint(x, y);
    for (let next; at?.shadowRoot && (next = at.shadowRoot.elementFromPoint(x, y)) && next !== at;) at = next;
    return at;
  };
  const all = (root) => [...root.querySelectorAll(CONTROLS),
    ...[...root.querySelectorAll("*")].flatMap((one) => one.shadowRoot ? all(one.shadowRoot) : [])];
  const inSentence = (one) => one.matches("a, .term") && getComputedStyle(one).display.startsWith("inline") &&
    one.parentElement.textContent.trim().length > one.textContent.trim().length + 2 && !one.closest("dl");
  const boxes = { slider: ".stSlider [data-orientation]", combobox: "[role=group]",
    text: "[data-testid=stTextInputRootElement]", spinbutton: "[data-testid=stNumberInputContainer]" };
  const areas = (one) => {
    const kind = { range: "slider", number: "spinbutton" }[one.type] ?? one.getAttribute("role") ?? one.type;
    return [one, ...(one.labels ?? []), one.closest("label"), boxes[kind] && one.closest(boxes[kind])].filter(Boolean);
  };
  const found = [];
  let measured = 0;
  for (const one of all(root)) {
    if (!one.checkVisibility({ visibilityProperty: true }) || one.disabled || inSentence(one)) continue;
    if (scroll) one.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const box = one.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2, places = areas(one);
    const answers = (dx, dy) => { const at = under(x + dx, y + dy); return places.some((place) => within(at, place)); };
    if (box.width <= 1 || !answers(0, 0)) continue; // for a screen reader alone, or beneath something that is open
    const reach = (dx, dy) => { let n = 1; while (n < least && answers(n * dx, n * dy)) n += 1; return n; };
    const wide = reach(1, 0) + reach(-1, 0), high = reach(0, 1) + reach(0, -1);
    measured += 1;
    if (Math.min(wide, high) < least) found.push([one.ariaLabel ?? one.textContent.trim().slice(0, 40), wide, high]);
  }
  return [measured, found];
}"""


def too_small(page: Page, part: str = "") -> list[tuple[str, int, int]]:
    """The controls of the page, or of a part of it, that answer on less than 40 px: name, width, height."""
    if not part:
        page.evaluate("document.querySelectorAll('summary').forEach(one => one.parentElement.open || one.click())")
    page.wait_for_function("!document.querySelector('[data-stale=true]')")
    page.wait_for_timeout(500)  # what opens glides
    measured, small = page.locator(part or "body").first.evaluate(MEASURE, [LEAST, not part])
    assert measured > 0
    return [tuple(one) for one in small]
