// The controls of the page that shows a stage, read where they stand: they are Streamlit's, and show a choice long before
// the server hears of it. A page without them draws as Python said.

const area = (place, key) => document.querySelector(`.st-key-${(place + key).replace(/[^A-Za-z0-9_-]/g, "-")}`);
const inputOf = (place, key) => area(place, key)?.querySelector("input") ?? null;

// { sampler, grid, share, stop, seed } as far as they are on the page; undefined where not.
function readControls({ place, settings, grids }) {
  const chosen = area(place, "sampler")?.querySelector('[role="radio"][aria-checked="true"]')?.textContent;
  const sampler = Object.keys(settings).find((name) => settings[name].label === chosen);
  const grid = inputOf(place, "grid")?.value.replaceAll(" ", "_");
  return {
    sampler,
    grid: grids.includes(grid) ? grid : undefined,
    share: numberOf(inputOf(place, "renoise")),
    stop: numberOf(inputOf(place, "delta")),
    seed: wholeOf(inputOf(place, "seed")),
  };
}

// A slider of options has its place among them as its value, and the option in words.
function numberOf(input) {
  const value = Number(input?.getAttribute("aria-valuetext") || NaN);
  return Number.isFinite(value) ? value : undefined;
}

function wholeOf(input) {
  const value = Number(input?.value || NaN);
  return Number.isInteger(value) && input.checkValidity() ? value : undefined;
}

// N on its slider, if somebody has hold of it: one that nobody holds only follows the server, by way of its old value.
function heldSteps(place) {
  const input = inputOf(place, "steps");
  return input && input === document.activeElement ? Number(input.getAttribute("aria-valuetext")) || null : null;
}

const TOUCHED = ["input", "change", "click", "keydown", "keyup"];

// Calls `changed` in the frame after any of them shows something else, or was touched: a number shows what is typed, or
// what its buttons make of it, without an attribute that changes. Returns what ends that.
function watchControls(changed) {
  let asked = 0;
  const soon = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      changed();
    });
  };
  const seen = new MutationObserver(soon);
  seen.observe(document.body, { subtree: true, attributeFilter: ["aria-valuetext", "aria-checked", "value"] });
  for (const kind of TOUCHED) document.addEventListener(kind, soon, true);
  return () => {
    seen.disconnect();
    for (const kind of TOUCHED) document.removeEventListener(kind, soon, true);
    cancelAnimationFrame(asked);
  };
}

const RESTED = 300; // ms after the last key
const valueOf = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");

// Arrow keys in the field of the seed call `changed` at once, without waiting for a frame, and tell the page once they have
// rested: Streamlit runs the page anew at each key, which takes the browser as long as a picture. Returns what ends that.
function stepSeed(place, changed) {
  let stepped = null, rest = 0; // the number that the page has not been told yet
  const field = () => inputOf(place(), "seed");
  const show = (input) => valueOf.set.call(input, stepped); // unseen by the page
  // Streamlit may write the number it was told last into the field, some time after it was told.
  const hold = () => {
    const input = stepped === null ? null : field();
    if (!input) return;
    if (wholeOf(input) !== stepped) {
      show(input);
      changed();
    }
    requestAnimationFrame(hold);
  };
  const tell = () => {
    clearTimeout(rest);
    const input = stepped === null ? null : field();
    if (input) show(input);
    stepped = null;
    input?.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const step = (event) => {
    const input = field(), by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by || event.target !== input || event.ctrlKey || event.altKey || event.metaKey) return;
    const value = (stepped ?? wholeOf(input)) + by;
    if (Number.isNaN(value)) return;
    event.preventDefault();
    event.stopPropagation(); // also at an end: Streamlit would step on from what it was told last
    if (value < Number(input.min || 0) || value > Number(input.max || Infinity)) return;
    if (stepped === null) requestAnimationFrame(hold);
    stepped = value;
    show(input);
    changed();
    clearTimeout(rest);
    rest = setTimeout(() => {
      tell();
      input.dispatchEvent(new FocusEvent("focusout", { bubbles: true })); // Streamlit takes a number that is left
    }, RESTED);
  };
  // What is typed meanwhile counts.
  const type = (event) => {
    if (!event.isTrusted || event.target !== field()) return;
    clearTimeout(rest);
    stepped = null;
  };
  document.addEventListener("keydown", step, true);
  document.addEventListener("focusout", tell, true);
  document.addEventListener("input", type, true);
  return () => {
    clearTimeout(rest);
    stepped = null;
    document.removeEventListener("keydown", step, true);
    document.removeEventListener("focusout", tell, true);
    document.removeEventListener("input", type, true);
  };
}
