// The stage: playing, scrubbing, choosing N and raising paths, all in the browser. Python sends one message with what there
// is to draw from (drawing.js), or with the trajectories for every N, so that no click waits for the server. It shows one
// map or several side by side, each in a pane (panes.js); time, N, noise, layers and what is raised are those of all.

const KEEP = 250; // milliseconds after the last change that the address follows
const SPEEDS = { 0.5: 1, 1: 2, 2: 0.5 }; // each and the next
const REST = 2000; // milliseconds at the end of a run before it starts again
const LAYERS = {
  density: { label: "Data", colour: "data", draw: '<ellipse class="shade" cx="9" cy="5" rx="8" ry="5"/>' },
  exact: { label: "Exact path", colour: "exact", draw: '<path d="M0 8 Q9 -3 18 5"/>' },
  jumps: {
    label: "Model jumps",
    colour: "model",
    draw: '<path d="M2 7 L16 3"/><circle cx="2" cy="7" r="2"/><circle cx="16" cy="3" r="2"/>',
  },
  error: { label: "Error", colour: "error", draw: '<path d="M0 5 H18" stroke-dasharray="4 3"/>' },
};
// Further layers, behind a button: what the map does to space. They need the mesh that deterministic draws carry.
const MORE = {
  velocity: {
    label: "Velocity",
    colour: "exact",
    draw: '<path d="M2 8 L15 3"/><circle cx="15" cy="3" r="1.6"/>',
    title: "The exact flow, back in time",
  },
  mesh: {
    label: "Mesh",
    colour: "model",
    draw: '<path d="M1 3 Q9 0 17 3 M1 8 Q9 5 17 8 M5 0 V10 M13 0 V10" stroke-width="1"/>',
    title: "An even mesh of noise, carried along by the model",
  },
  folds: {
    label: "Folds",
    colour: "error",
    draw: '<path d="M2 9 L9 1 L16 9 Z"/>',
    title: "Cells of the mesh that the model turns over",
  },
  model: {
    label: "Model density",
    colour: "model",
    draw: '<circle cx="9" cy="5" r="5" stroke-dasharray="2 2"/>',
    title: "Where the jumps end: areas that hold 50, 80 and 95 % of the model's mass, like those of the data",
  },
  ratio: {
    label: "log q/p",
    colour: "model",
    draw: '<path d="M1 5 H8" stroke-width="6"/>',
    title:
      "Particles where the jumps end, by the exact densities of both laws: the model's colour where it puts too much, the data's where too little; full at 1 nat",
  },
};
const JUMPS = { model: LAYERS.jumps.label, exact: "Exact jumps", baseline: "Solver steps" };
const FIRST_LAYERS = Object.keys(LAYERS);
const ALL_LAYERS = [...FIRST_LAYERS, ...Object.keys(MORE)];
const stages = new WeakMap();
let created = 0;

function createStage(root) {
  const find = (selector) => root.querySelector(selector);
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const stage = {
    root,
    calm,
    section: find(".stage"),
    panes: [],
    // What all panes share is read from the first that the browser draws, or else from the first.
    get lead() {
      return drawnHere(this)[0] ?? this.panes[0];
    },
    get base() {
      return this.lead.base;
    },
    get message() {
      return this.lead.message;
    },
    parts: {},
    steps: null,
    sent: null,
    u: calm ? 1 : 0,
    playing: !calm,
    atRest: calm,
    speed: 1,
    pace: 1,
    rest: REST,
    goal: null,
    restUntil: 0,
    last: 0,
    request: 0,
    layers: {},
    hover: null,
    pinned: new Set(),
    visible: true,
    start: null,
    startSent: undefined,
    steering: false,
    press: null,
    drawn: false,
    moving: null,
    grip: null,
    name: `stage ${++created}`,
    local: nothingDone(),
    choice: null,
    waiting: new Set(),
    behind: false,
    askedKey: null,
    pictures: 0,
    soon: 0,
    changed: new Set(),
    tell: () => {},
  };
  for (
    const name of [
      "panes",
      "legend",
      "more",
      "done",
      "marks",
      "handles",
      "scrubber",
      "play",
      "step",
      "speed",
      "save",
      "seed",
      "multiples",
      "summary",
    ]
  ) {
    stage.parts[name] = find(`.${name}`);
  }
  addPane(stage, find(".frame"));
  stage.legend = buildLegend(stage);
  takeView(stage);
  wire(stage);
  return stage;
}

// ---- what of the view stands in the browser's part of the address -----------------------------------------------------
function takeView(stage) {
  const on = address.read("layers")?.split(",") ?? FIRST_LAYERS;
  for (const name of ALL_LAYERS) stage.layers[name] = on.includes(name);
  if (Object.keys(MORE).some((name) => stage.layers[name])) openLayers(stage, true);
  const speed = Number(address.read("speed"));
  stage.speed = speed in SPEEDS ? speed : 1;
  const at = Number.parseFloat(address.read("pause"));
  if (at >= 0 && at <= 1) Object.assign(stage, { u: at, playing: false, goal: null });
}

function keepView(stage) {
  clearTimeout(stage.keeping);
  stage.keeping = setTimeout(() => {
    const on = ALL_LAYERS.filter((name) => stage.layers[name]);
    const moving = stage.playing || stage.goal !== null, atRest = stage.atRest && stage.u === 1;
    address.keep({
      layers: on.join() === FIRST_LAYERS.join() ? null : on.join() || "none",
      speed: stage.speed === 1 ? null : String(stage.speed),
      pause: moving || atRest ? null : String(Number(stage.u.toFixed(3))),
    });
  }, KEEP);
}

// Presenter mode and hidden parts are said on the page's own element, by the frame.
function obeyPage(stage) {
  const page = document.documentElement;
  stage.section.classList.toggle("presenting", page.hasAttribute("data-presenting"));
  stage.section.dataset.hidden = page.dataset.hidden ?? "";
}

function buildLegend(stage) {
  const rows = [[LAYERS, stage.parts.legend], [MORE, stage.parts.more]];
  const built = rows.flatMap(([layers, place]) =>
    Object.entries(layers).map(([name, layer]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.innerHTML = `<svg viewBox="0 0 18 10" fill="none" stroke-width="2" aria-hidden="true">${layer.draw}</svg>`;
      button.append(layer.label);
      button.onclick = () => toggle(stage, name);
      place.append(button);
      return { name, button, layer };
    })
  );
  const opener = document.createElement("button");
  opener.type = "button";
  opener.className = "opener";
  opener.textContent = "Layers";
  opener.title = "More to see: what the map does to space (L)";
  opener.setAttribute("aria-expanded", "false");
  opener.onclick = () => openLayers(stage, stage.parts.more.hidden);
  stage.parts.legend.append(opener);
  for (const [, place] of rows) place.onkeydown = (event) => layerKey(stage, event);
  return built;
}

function openLayers(stage, open) {
  stage.parts.more.hidden = !open;
  if (open) wantLayers(stage);
  stage.parts.legend.querySelector(".opener").setAttribute("aria-expanded", open);
}

// What the map does to space takes the server a second or two, so it is made when somebody looks for it.
function wantLayers(stage) {
  stage.wanting = true;
  if (stage.base && !stage.wanted) {
    stage.wanted = true;
    stage.tell("layers", { wanted: true });
  }
}

// By keyboard alone: L opens the layers and takes the focus there, arrows move it, L or Escape give it back.
function walkLayers(stage) {
  const open = stage.parts.more.hidden;
  openLayers(stage, open);
  if (open) stage.legend[0].button.focus();
  else stage.panes[0].canvas.focus();
}

function layerKey(stage, event) {
  const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (way) {
    const there = stage.legend.map((one) => one.button).filter((button) => !button.disabled && button.offsetParent);
    there[(there.indexOf(event.target) + way + there.length) % there.length]?.focus();
  } else if (event.key === "l" || event.key === "Escape") {
    openLayers(stage, false);
    stage.panes[0].canvas.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function toggle(stage, name) {
  stage.layers[name] = !stage.layers[name];
  for (const one of stage.legend) if (one.name === name) one.button.setAttribute("aria-pressed", stage.layers[name]);
  if (name === "ratio" && stage.layers.ratio) {
    stage.playing = false;
    stage.goal = null;
    stage.u = 1;
  }
  paintAll(stage);
  keepView(stage);
}

// The layers that a message asks for; those behind the button are opened with theirs.
function showLayers(stage, names) {
  for (const name of Object.keys(stage.layers)) stage.layers[name] = names.includes(name);
  openLayers(stage, Object.keys(MORE).some((name) => stage.layers[name]));
  if (stage.layers.ratio) {
    stage.playing = false;
    stage.goal = null;
    stage.u = 1;
  }
}

// Which layers this draw can show, and why not where it cannot.
function offer(stage) {
  const { message, steps } = stage;
  const meshed = message.arrays[`mesh_${steps}`] !== undefined,
    renoised = message.arrays[`landings_${steps}`] !== undefined;
  for (const { name, button, layer } of stage.legend) {
    const there = !(name in MORE) || (name === "velocity" ? message.arrays.field !== undefined : meshed);
    button.setAttribute("aria-pressed", stage.layers[name]);
    button.disabled = !there;
    button.title = there
      ? layer.title ?? "Show or hide"
      : renoised
      ? "Fresh noise leaves no mesh: choose deterministic jumps"
      : !message.answered && message.arrays.field
      ? "Not computed for these settings"
      : message.pending || message.arrays.field
      ? "Being computed"
      : "For targets in the plane";
  }
}

function wire(stage) {
  const { parts } = stage;
  parts.play.onclick = () => play(stage, !stage.playing);
  parts.step.onclick = () => stepBy(stage, 1);
  parts.save.onclick = () => savePicture(stage);
  parts.speed.onclick = () => {
    stage.speed = SPEEDS[stage.speed];
    paint(stage);
    keepView(stage);
  };
  parts.scrubber.oninput = (event) => {
    stage.playing = false;
    stage.goal = null;
    seek(stage, event.target.value / 1000);
    keepView(stage);
  };
  parts.seed.oninput = ({ target }) => {
    stage.pinned.clear();
    if (target.value && target.validity.valid) obeyControls(stage, { seed: Number(target.value) });
  };
  const keys = (event) => key(stage, event);
  document.addEventListener("keydown", keys);
  const sight = new IntersectionObserver((entries) => {
    stage.visible = entries.at(-1).isIntersecting; // a busy browser tells of several changes together
    wake(stage);
    redraw(stage);
  });
  sight.observe(parts.panes);
  const size = new ResizeObserver(() => {
    if (stage.message) layMarks(stage);
    paintAll(stage);
  });
  size.observe(parts.panes);
  const page = new MutationObserver(() => obeyPage(stage));
  page.observe(document.documentElement, { attributeFilter: ["data-presenting", "data-hidden"] });
  obeyPage(stage);
  const controls = watchControls(() => {
    followSlider(stage);
    redraw(stage);
  });
  const seeds = stepSeed(() => stage.message?.drawing?.place, () => redraw(stage));
  const weighted = () => redraw(stage);
  addEventListener("flowmaps", weighted);
  document.addEventListener("visibilitychange", weighted);
  const guided = ({ detail }) => obeyGuide(stage, detail);
  document.addEventListener("guide", guided);
  stage.root.addEventListener("draw", ({ detail }) => obeyControls(stage, detail));
  const returned = address.onReturn(() => {
    takeView(stage);
    if (stage.message) {
      offer(stage);
      paintAll(stage);
      wake(stage);
    }
  });
  stage.destroy = () => {
    page.disconnect();
    controls();
    seeds();
    removeEventListener("flowmaps", weighted);
    document.removeEventListener("visibilitychange", weighted);
    document.removeEventListener("guide", guided);
    clearTimeout(stage.settling);
    for (const pane of stage.panes) forgetDraws(stage, pane);
    document.documentElement.removeAttribute("data-ahead");
    returned();
    clearTimeout(stage.keeping);
    address.release(["layers", "pause", "speed"]);
    document.removeEventListener("keydown", keys);
    sight.disconnect();
    size.disconnect();
    cancelAnimationFrame(stage.request);
    cancelAnimationFrame(stage.soon);
    stages.delete(stage.root);
    if (window.particleStage?.name === stage.name) delete window.particleStage; // of what is no longer there
  };
}

// ---- motion ------------------------------------------------------------------------------------------------------
function wake(stage) {
  cancelAnimationFrame(stage.request);
  stage.last = 0;
  if (stage.message && stage.visible && (stage.playing || stage.goal !== null)) {
    stage.request = requestAnimationFrame((now) => tick(stage, now));
  }
}

// N on Streamlit's slider is seen here while it is dragged, before the server hears of it.
function followSlider(stage) {
  const steps = stage.message && heldSteps(stage.message.drawing?.place ?? "");
  if (steps && steps !== stage.steps && steps in stage.message.progress) showSteps(stage, steps);
}

function tick(stage, now) {
  if (!stage.message || (!stage.playing && stage.goal === null)) return; // paused since this frame was asked for
  const elapsed = stage.last ? Math.min(100, now - stage.last) : 0;
  stage.last = now;
  const rate = elapsed / (1000 * stage.message.seconds) * stage.speed * stage.pace;
  if (stage.goal !== null) {
    const gap = stage.goal - stage.u, stride = Math.max(rate * 4, Math.abs(gap) * elapsed / 160);
    if (Math.abs(gap) <= stride) {
      stage.u = stage.goal;
      stage.goal = null;
      keepView(stage);
    } else stage.u += Math.sign(gap) * stride;
  } else if (stage.u < 1) {
    stage.u = Math.min(1, stage.u + rate);
    if (stage.u === 1) stage.restUntil = now + stage.rest;
  } else if (isLive(stage)) play(stage, false); // it has been seen once, and a training wants the machine
  else if (now > stage.restUntil) stage.u = 0;
  if (stage.u !== stage.painted) paint(stage); // at rest nothing moves
  if (stage.visible && (stage.playing || stage.goal !== null)) {
    stage.request = requestAnimationFrame((next) => tick(stage, next));
  }
}

function play(stage, playing) {
  stage.playing = playing;
  stage.goal = null;
  if (playing && stage.u >= 1) stage.u = 0;
  paint(stage);
  wake(stage);
  keepView(stage);
}

// A training is followed where the jumps end: until somebody plays it, or where the address says.
function rest(stage) {
  stage.atRest = true;
  stage.parts.seed.value = stage.base.drawing.seed;
  if (address.read("pause") === null) Object.assign(stage, { u: 1, playing: false, goal: null });
}

// A guide through the page shows something here: N, a place in time, whether and how fast it goes on from there.
function obeyGuide(stage, { steps, u, plays, pace, rest = REST }) {
  if (!stage.message) return;
  if (steps) setSteps(stage, steps);
  Object.assign(stage, { pace, rest, goal: null, u: u ?? stage.u, playing: plays ?? stage.playing, restUntil: 0 });
  paint(stage);
  wake(stage);
}

function seek(stage, u) {
  stage.u = u;
  paint(stage);
}

function stepBy(stage, direction) {
  if (!stage.message) return;
  const progress = stage.message.progress[stage.steps];
  const from = stage.goal ?? stage.u;
  stage.playing = false;
  stage.goal = direction > 0
    ? progress.find((p) => p > from + 1e-6) ?? 0
    : progress.findLast((p) => p < from - 1e-6) ?? 1;
  if (stage.calm || Math.abs(stage.goal - from) === 1) {
    stage.u = stage.goal;
    stage.goal = null;
    paint(stage);
    keepView(stage);
  }
  wake(stage);
}

function setSteps(stage, steps) {
  if (steps === stage.steps || !(steps in stage.message.progress)) return;
  showSteps(stage, steps);
  tellChoice(stage, samplerOnShow(stage));
}

// N and the sampler together, whichever of them was chosen: while the page's controls follow, what they report of the other
// may be older than what is on the stage.
function tellChoice(stage, sampler) {
  stage.turns = (stage.turns ?? 0) + 1;
  stage.tell("choice", { steps: stage.steps, sampler, release: stage.turns });
}

// The sampler that is drawn, where the page has a control for it; else null.
function samplerOnShow({ base, local, choice }) {
  const controlled = base.drawing && { ...readControls(base.drawing), ...local.controls }.sampler !== undefined;
  return controlled && choice ? choice.sampler : null;
}

function showSteps(stage, steps) {
  stage.steps = stage.sent = steps;
  stage.goal = null;
  for (const pane of drawnHere(stage)) if (pane.draws[steps] && !isLive(stage)) showPicture(stage, pane); // live: of older weights
  redraw(stage);
  layOut(stage);
  paint(stage);
  turnNumber(steps);
}

// Numbers known for other N stand in the page beside the one on show, hidden: the right one need not come from far.
function turnNumber(steps) {
  const numbers = [...document.querySelectorAll(".st-key-number_area [data-steps]")];
  if (numbers.some((each) => each.dataset.steps === String(steps))) {
    for (const each of numbers) each.hidden = each.dataset.steps !== String(steps);
  }
}

// Fresh noise after each jump, or none.
function turnSampler(stage) {
  const renoised = stage.message.arrays[`landings_${stage.steps}`] !== undefined;
  const to = renoised ? "deterministic" : "renoise", drawing = stage.base.drawing;
  if (drawing?.settings[to]) {
    stage.local.sampler = { to, seen: readControls(drawing).sampler };
    redraw(stage);
  }
  tellChoice(stage, to);
}

function key(stage, event) {
  const target = event.composedPath()[0];
  if (!stage.message) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target !== document.body && !stage.panes.some(({ canvas }) => target === canvas)) return; // someone is typing, or a control has the keys
  const arrow = event.key.startsWith("Arrow");
  const act = stage.steering && (arrow || event.key === "Enter")
    ? () => (arrow ? steerBy(stage, event.key, event.shiftKey) : steer(stage))
    : {
      " ": () => play(stage, !stage.playing),
      ArrowRight: () => stepBy(stage, 1),
      ArrowLeft: () => stepBy(stage, -1),
      l: () => walkLayers(stage),
      r: () => turnSampler(stage),
      s: () => steer(stage),
      Escape: stage.section.classList.contains("presenting") ? null : () => removeStart(stage),
    }[event.key] ?? (/^[1-9]$/.test(event.key) && Number(event.key) in stage.message.progress
      ? () =>
        setSteps(stage, Number(event.key))
      : null);
  if (act) {
    event.preventDefault();
    act();
  }
}

// ---- pointer -----------------------------------------------------------------------------------------------------
function nearest(stage, pane, event) {
  const { view, message, heads, canvas } = pane;
  if (!view || !drawable(stage, pane)) return null;
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let best = null, distance = 18 ** 2;
  const consider = (i, px, py) => {
    const d = (view.x(px) - x) ** 2 + (view.y(py) - y) ** 2;
    if (d < distance) {
      distance = d;
      best = i;
    }
  };
  for (let i = 0; i < message.followed; i++) {
    consider(i, heads[2 * i], heads[2 * i + 1]);
    if (i < message.shown || i === message.own) {
      for (let k = 0; k <= stage.steps; k++) consider(i, ...statePoint(message, stage.steps, k, i));
    }
  }
  return best;
}

function hover(stage, i) {
  if (i === stage.hover) return;
  stage.hover = i;
  for (const { canvas } of stage.panes) canvas.style.cursor = i === null ? "" : "pointer";
  paint(stage);
}

// ---- painting ----------------------------------------------------------------------------------------------------
function paint(stage) {
  const { message, parts, steps, u } = stage;
  if (!message) return;
  const began = performance.now();
  for (const pane of stage.panes) paintPane(stage, pane);
  write(parts.play, stage.playing ? "Pause" : "Play");
  write(parts.speed, `${stage.speed === 0.5 ? "½" : stage.speed}×`);
  stage.painted = u;
  const place = String(Math.round(1000 * u));
  if (parts.scrubber.value !== place) parts.scrubber.value = place;
  parts.done.style.transform = `scaleX(${u})`;
  for (const [j, mark] of stage.dots.entries()) mark.classList.toggle("past", message.progress[steps][j] <= u + 1e-9);
  const counter = (window.particleStage ??= { frames: 0 });
  const cost = performance.now() - began;
  Object.assign(counter, {
    name: stage.name,
    frames: counter.frames + 1,
    cost,
    u,
    steps,
    playing: stage.playing,
    key: message.key,
    start: stage.start,
    own: ownIndex(stage, message),
    times: message.times[steps],
    layers: stage.layers,
    choice: message.choice,
    pictures: stage.pictures,
    maps: stage.panes.map((pane) => pane.message?.key),
    raised: stage.hover,
  });
}

// What follows a hand or the worker is painted once in a frame, however much of it came.
function paintSoon(stage) {
  stage.soon ||= requestAnimationFrame(() => {
    stage.soon = 0;
    paint(stage);
    if (isHeld(stage) || !stage.message?.drawing) return; // the small pictures wait for the hand to let go, or to rest
    paintMultiples(stage, [...stage.changed]);
    stage.changed.clear();
  });
}

// Touches the page only when the words change, which is far less often than every frame.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function reading(stage, { message }) {
  const { steps, u } = stage, { k } = locate(message.progress[steps], u);
  if (stage.start !== null && (stage.press?.drawing || stage.steering)) {
    return `start ${stage.start.map((v) => v.toFixed(2)).join(", ")}`;
  }
  if (stage.moving?.dragging) return `t = ${timeLabel(timeAt(message, stage.moving.progress[stage.moving.j]))}`;
  const subject = stage.hover ?? (u >= 1 ? ownIndex(stage, message) : null);
  const curves = subject === null ? [] : comparisons(message, steps, subject);
  if (curves.length) {
    const { arrived: [x, y], points } = curves[Math.min(k, curves.length - 1)];
    const error = Math.hypot(x - points.at(-1)[0], y - points.at(-1)[1]).toFixed(3);
    return curves.length > 1 || steps === 1
      ? `jump ${k + 1} lands ${error} from the exact one`
      : `this path ends ${error} from the exact one`;
  }
  return u >= 1
    ? `t = ${timeLabel(message.times[steps].at(-1))} · arrived`
    : `t = ${timeLabel(timeAt(message, u))} · jump ${k + 1} of ${steps}`;
}

function timeAt(message, u) {
  const [first, last] = message.angles;
  return -Math.log(Math.cos(first + u * (last - first)));
}

const timeLabel = (
  t,
) => (t === 0 ? "0" : t >= 0.995 ? t.toFixed(1).replace(/\.0$/, "") : t >= 0.1 ? t.toFixed(2) : t.toFixed(3));

// What changes with N or the message, but not with time: marks on the axis, small multiples, words.
function layOut(stage) {
  const { message, parts, steps } = stage, panes = stage.panes.filter((pane) => drawable(stage, pane));
  if (!message) return;
  layMarks(stage);
  offer(stage);
  document.documentElement.toggleAttribute("data-ahead", panes.some((pane) => pane.message.ahead === true));
  for (const pane of panes) pane.canvas.setAttribute("aria-label", describePane(stage, pane));
  write(parts.summary, panes.map((pane) => describePane(stage, pane)).join(" "));
  layMultiples(stage);
}

// A button for every N, with a number and a picture of each map.
function layMultiples(stage) {
  const { message, parts: { multiples }, panes, steps } = stage, count = panes.length;
  if (multiples.children.length !== message.multiples.length || multiples.dataset.maps !== String(count)) {
    multiples.dataset.maps = count;
    multiples.replaceChildren(...message.multiples.map(() => {
      const button = document.createElement("button");
      const parts = ["span", "canvas"].flatMap((name) => panes.map(() => document.createElement(name)));
      button.type = "button";
      button.append(document.createElement("b"), ...parts);
      for (const canvas of button.querySelectorAll("canvas")) canvas.setAttribute("aria-hidden", "true");
      return button;
    }));
  }
  message.multiples.forEach((n, j) => {
    const button = multiples.children[j], numbers = button.querySelectorAll("span");
    button.onclick = () => setSteps(stage, n);
    button.setAttribute("aria-pressed", n === steps);
    button.querySelector("b").textContent = `N = ${n}`;
    panes.forEach((pane, i) => write(numbers[i], [letterOf(stage, pane), pane.message?.labels[n]].join(" ").trim()));
  });
}

function paintAll(stage) {
  if (!stage.message) return;
  for (const pane of stage.panes) {
    drawGround(pane.ground, stage.layers.density ? pane.image : null, stage.message.extent);
  }
  paint(stage);
  paintMultiples(stage);
}

function paintMultiples(stage, which = stage.message?.multiples) {
  if (!stage.message) return;
  const { multiples } = stage.parts;
  for (const [i, pane] of stage.panes.entries()) {
    pane.message?.multiples.forEach((n, j) => {
      if (which.includes(n)) paintSmall(stage, pane, multiples.children[j].querySelectorAll("canvas")[i], n);
    });
  }
}

// ---- Streamlit ---------------------------------------------------------------------------------------------------
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  let stage = stages.get(parentElement);
  if (!stage) stages.set(parentElement, stage = createStage(parentElement));
  const before = stage.base, subject = (one) => one?.drawing ? one.drawing.run : one?.key;
  takeBases(stage, scenesOf(readMessage(data)));
  const { base } = stage, fresh = subject(base) !== subject(before);
  const reseeded = base.drawing?.seed !== before?.drawing?.seed;
  stage.tell = isLive(stage) ? () => {} : setStateValue;
  if (fresh && isLive(stage)) rest(stage);
  if (stage.wanting) wantLayers(stage);
  for (const pane of stage.panes) dressPane(stage, pane);
  const { palette } = stage.lead;
  stage.section.classList.toggle("dark", palette.dark);
  stage.section.classList.toggle("live", isLive(stage));
  stage.section.style.setProperty("--model", palette.model);
  for (const { button, layer } of stage.legend) {
    button.querySelector("svg").style.stroke = palette[layer.colour];
    if (layer === LAYERS.jumps) button.lastChild.data = JUMPS[base.mover];
    button.querySelector(".shade")?.setAttribute("fill", palette.data);
  }
  // An echo of an older choice must not undo a newer one made here meanwhile.
  if (stage.sent === null || base.steps === stage.sent || fresh) {
    stage.sent = null;
    stage.steps = base.steps;
  }
  if (fresh || reseeded) {
    stage.pinned.clear();
    stage.hover = null;
  }
  if (fresh && base.visible) showLayers(stage, base.visible);
  takeStart(stage);
  redraw(stage);
  for (const pane of stage.panes) {
    if (!pane.base.drawing) takePicture(stage, pane, pane.base);
    else if (pane.draws[stage.steps]) takePicture(stage, pane, compose(stage, pane));
  }
  if (base.drawing && !stage.lead.draws[stage.steps]) return stage.destroy; // the picture is on its way
  takeTimes(stage, fresh);
  layOut(stage);
  paintAll(stage);
  wake(stage);
  return stage.destroy;
}
