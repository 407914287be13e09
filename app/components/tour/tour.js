// A guided tour of the page. It plays on the stage itself, by the event "guide", and asks the server for nothing but N.

const SEEN = "consistency-lab-tour";
const PACE = 3; // times the stage's usual speed
const LIGHT = { stage: ".st-key-stage_area", chart: ".st-key-chart_area", theory: ".st-key-theory_area" };
const BACK = 4_000; // milliseconds within which a tour that was put elsewhere on the page goes on
const tours = new WeakMap();
let left = null; // { at, steps, when } of a tour that went with its place on the page
const page = document.documentElement;
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

function wasSeen() {
  try {
    return localStorage.getItem(SEEN) !== null;
  } catch {
    return true; // where nothing can be remembered it would begin at every visit
  }
}

function remember() {
  try {
    localStorage.setItem(SEEN, "seen");
  } catch { /* nothing is kept here */ }
}

function createTour(parent) {
  const tour = { parent, at: -1, data: null, waiting: 0 };
  for (const name of ["begin", "panel", "done", "words", "count", "back", "on", "skip"]) {
    tour[name] = parent.querySelector(`.${name}`);
  }
  tour.begin.onclick = () => show(tour, 0);
  tour.back.onclick = () => show(tour, tour.at - 1);
  tour.on.onclick = () => (tour.at + 1 < tour.data.scenes.length ? show(tour, tour.at + 1) : end(tour));
  tour.skip.onclick = () => end(tour);
  tour.done.onanimationend = () => tour.on.onclick();
  // Whoever begins to do something on the page has it.
  const acts = (event) => {
    if (tour.at < 0 || event.composedPath().includes(tour.panel) || event.composedPath().includes(tour.begin)) return;
    if (event.type === "pointerdown" || event.key === "Escape") end(tour, { leave: event.key !== "Escape" });
  };
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, acts, true);
  tour.destroy = () => {
    for (const kind of ["pointerdown", "keydown"]) document.removeEventListener(kind, acts, true);
    clearInterval(tour.waiting);
    if (tour.at >= 0) left = { at: tour.at, steps: tour.steps, when: performance.now() };
    tour.at = -1;
    page.removeAttribute("data-tour");
    tours.delete(parent);
  };
  return tour;
}

const guide = (detail) => document.dispatchEvent(new CustomEvent("guide", { detail }));

function show(tour, at) {
  const { scenes } = tour.data, scene = scenes[at];
  if (tour.at < 0) tour.steps = window.particleStage?.steps; // to come back to
  tour.at = at;
  remember();
  if (!tour.panel.matches(":popover-open")) tour.panel.showPopover();
  tour.words.textContent = scene.words;
  tour.count.textContent = `${at + 1} of ${scenes.length}`;
  tour.back.disabled = at === 0;
  tour.on.textContent = at + 1 < scenes.length ? "Next" : "Done";
  tour.skip.hidden = at + 1 === scenes.length;
  tour.panel.style.setProperty("--seconds", `${scene.seconds}s`);
  tour.done.style.animationName = "none"; // the clock begins anew
  void tour.done.offsetWidth;
  tour.done.style.animationName = "";
  page.dataset.tour = scene.light;
  const plays = scene.plays && !calm;
  guide({ steps: scene.steps, u: scene.plays && calm ? 1 : scene.u, plays, pace: PACE, rest: 60_000 });
  bringIntoView(tour, LIGHT[scene.light]);
  window.labTour = { scene: at, scenes: scenes.length };
}

// What is looked at stands above the panel.
function bringIntoView(tour, selector) {
  const part = document.querySelector(selector), main = document.querySelector('[data-testid="stMain"]');
  if (!part || !main) return;
  const { top, bottom, height } = part.getBoundingClientRect(),
    foot = tour.panel.getBoundingClientRect().top - 12,
    head = 64;
  if (top >= head && bottom <= foot) return;
  const by = height > foot - head || top < head ? top - head : bottom - foot;
  main.scrollBy({ top: by, behavior: calm ? "auto" : "smooth" });
}

// `leave`: somebody has taken over, and the page stays as it is.
function end(tour, { leave = false } = {}) {
  if (tour.at < 0) return;
  tour.at = -1;
  const within = tour.panel.contains(tour.parent.activeElement ?? document.activeElement);
  tour.panel.hidePopover();
  page.removeAttribute("data-tour");
  guide(leave ? { pace: 1 } : { steps: tour.steps, u: calm ? 1 : 0, plays: !calm, pace: 1 });
  if (!leave) {
    document.querySelector('[data-testid="stMain"]')?.scrollTo({ top: 0, behavior: calm ? "auto" : "smooth" });
  }
  if (within) tour.begin.focus();
  window.labTour = null;
}

// Streamlit may draw the page anew while it is being looked at: the scene is shown once more then.
function goOn(tour) {
  if (left === null || performance.now() - left.when > BACK) return;
  setTimeout(() => {
    if (left === null || !tour.panel.isConnected) return; // it was put elsewhere once more
    const { at, steps } = left;
    left = null;
    show(tour, at);
    tour.steps = steps;
  }, 300);
}

// It begins by itself once there is something to see, where nothing else was asked for.
function beginAlone(tour) {
  if (tour.waiting || calm || !tour.data.begins || wasSeen()) return;
  tour.waiting = setInterval(() => {
    if (!(window.particleStage?.frames > 0) || document.hidden) return;
    clearInterval(tour.waiting);
    if (tour.at < 0 && !page.hasAttribute("data-presenting") && !wasSeen()) show(tour, 0);
  }, 200);
}

export default function ({ data, parentElement }) {
  let tour = tours.get(parentElement);
  if (!tour) tours.set(parentElement, tour = createTour(parentElement));
  tour.data = data;
  tour.begin.textContent = data.label;
  goOn(tour);
  beginAlone(tour);
  return tour.destroy;
}
