// The pictures that the browser draws: Python says what there is to draw from, and hears later what was drawn. A pane's
// `base` is its map's scene as Python sent it, `stage.choice` what is drawn of every map now, and a pane's `message` the base
// with that picture in it. What the base knows of other choices, exact paths, layers, numbers, is left out until Python has
// caught up.

const FILL = 120; // milliseconds after the last change that all particles of every N are drawn, and words follow
const LIVE_FILL = 1500; // the same of weights that a training replaces twice a second
const COUNTS = [1, 2, 4, 8, 16];

// ---- what to draw ------------------------------------------------------------------------------------------------
function choose(stage) {
  const { base, local } = stage, { drawing } = base, shown = { ...readControls(drawing), ...local.controls };
  if (local.sampler && local.sampler.seen !== shown.sampler) local.sampler = null; // the control has moved on since
  const sampler = local.sampler?.to ?? shown.sampler ?? drawing.sampler;
  const settings = sampler === drawing.sampler ? drawing : drawing.settings[sampler] ?? drawing;
  const delta = shown.delta ?? stopOf(shown.stop, drawing, settings);
  const share = sampler === "deterministic" ? 0 : asSaid(shown.share, settings.share, 0.005);
  let grid = shown.grid ?? drawing.grid;
  if (delta === 0 && (grid === "shrinking_step" || grid === "variance_step")) grid = drawing.grids[0];
  if (stage.choice && stage.choice.run === drawing.run && stage.choice.grid !== grid) local.times = {}; // it was named
  const times = Object.fromEntries(COUNTS.map((n) => [n, timesOf(stage, n, grid, delta)]));
  const { horizon, run } = drawing, particles = shown.particles ?? drawing.particles;
  const seed = shown.seed ?? drawing.seed;
  return { run, sampler, share, grid, delta, horizon, seed, particles, times };
}

// The same of the map of one pane.
const choiceOf = ({ choice }, { base: { drawing: { run, map } } }) => ({ ...choice, run, map });

// What a slider shows is rounded: where that is what Python said, what Python said is meant.
const asSaid = (shown, said, rounding) => shown === undefined || Math.abs(shown - said) <= rounding ? said : shown;

// δ as its slider shows it; where that is what it was for another sampler, it becomes what this one makes of it.
function stopOf(shown, drawing, settings) {
  const stop = asSaid(shown, drawing.delta, 1e-5 * drawing.delta);
  return stop === drawing.delta ? settings.delta : stop;
}

// Times that were moved hold until another grid is named, and where they lie between T and δ.
function timesOf({ base, local }, n, grid, delta) {
  const { drawing } = base, { horizon } = drawing;
  const moved = n in local.times
    ? local.times[n]
    : base.moved.includes(n) && grid === drawing.grid
    ? base.times[n].slice(1, -1)
    : null;
  const fits = moved && moved[0] < horizon && moved.at(-1) > delta;
  if (fits) return [horizon, ...moved, delta];
  return grid === drawing.grid && delta === drawing.delta && !base.moved.includes(n)
    ? base.times[n]
    : namedGrid(grid, n, horizon, delta);
}

const nameOf = ({ run, sampler, share, grid, delta, seed, particles }) =>
  [run, sampler, share, grid, delta, seed, particles].join("/");
const wayOf = ({ map, sampler, share, delta, horizon, times }, n) =>
  [map, sampler, share, delta, horizon, times[n]].join();
const baseChoice = ({ drawing, times }) => ({
  ...drawing,
  share: drawing.sampler === "deterministic" ? 0 : drawing.share,
  times,
});

// What the worker is asked of a pane's map: N on show with all particles first, then the others with those of the small
// multiples. While a hand holds a time or a start, and of live weights, it is N on show alone.
function questionOf(stage, pane, { whole }) {
  const { base, steps } = stage, { map, sampler, share, seed, particles, times } = choiceOf(stage, pane);
  const held = stage.press?.drawing || stage.moving?.dragging;
  const others = (held && !whole) || isLive(stage)
    ? []
    : COUNTS.filter((n) => n !== steps).sort((a, b) => base.multiples.includes(b) - base.multiples.includes(a));
  const few = whole ? particles : Math.min(particles, base.compact);
  const grids = [{ n: steps, times: times[steps] }, ...others.map((n) => ({ n, times: times[n], count: few }))];
  const own = stage.start && {
    start: stage.start,
    place: ownPlace(base),
    noise: `fresh noise of an own start, release ${releaseOf(stage)}`,
  };
  return { map, sampler, share, seed, particles, grids, own };
}

// Whether the weights are those of a training, which sends newer ones under their name.
const isLive = ({ base }) => base?.drawing?.live === true;

// The weights of a pane's map: their hash, undefined until they are there.
const weightsOf = ({ base: { drawing } }) => window.consistencyLabMaps?.hashOf(drawing.map);

// Whether a hand holds a time or a start.
const isHeld = (stage) => Boolean(stage.press?.drawing || stage.moving?.dragging);

// The particle of one's own comes after those that the base follows.
const ownPlace = (base) => base.followed - (base.start ? 1 : 0);
const releaseOf = ({ base, local }) => Math.max(base.drawing.release, local.release);

// ---- asking, and taking answers -----------------------------------------------------------------------------------
const drawnHere = ({ panes }) => panes.filter(({ base }) => base?.drawing);

// Draws every map anew if what is to be drawn has changed, or its weights. While a map has no answer to the last question
// yet nothing is asked: a picture a moment old is better than none while something is dragged, or a machine is busy. Live
// weights that nobody sees are not drawn.
function redraw(stage) {
  const panes = drawnHere(stage);
  if (!panes.length || (isLive(stage) && (!stage.visible || document.hidden))) return;
  stage.choice = choose(stage);
  const key = JSON.stringify(panes.map((pane) => [weightsOf(pane), questionOf(stage, pane, { whole: false })]));
  if (key === stage.askedKey) return;
  if (stage.waiting.size) {
    stage.behind = true;
    return;
  }
  stage.askedKey = key;
  clearTimeout(stage.settling);
  const ready = panes.filter(weightsOf); // the others are drawn when their weights have come
  for (const pane of ready) stage.waiting.add(pane);
  for (const pane of ready) ask(stage, pane, { whole: false });
}

function ask(stage, pane, { whole }) {
  const { start } = stage, choice = choiceOf(stage, pane);
  window.consistencyLabMaps.ask(pane.name, questionOf(stage, pane, { whole }), (told) => {
    if (told.failed) return answered(stage, pane); // what there is stays, and the next change is drawn
    if (told.done) {
      if (!whole) {
        clearTimeout(stage.settling);
        stage.settling = setTimeout(() => settle(stage), isLive(stage) ? LIVE_FILL : FILL);
      }
      return;
    }
    pane.draws[told.n] = { ...told, choice, start };
    if (told.n === stage.steps) showPicture(stage, pane);
    else if (pane.message && pane.draws[stage.steps]) { // N on show may have been chosen before it was drawn
      pane.message = compose(stage, pane);
      stage.changed.add(told.n);
      paintSoon(stage);
    }
    answered(stage, pane);
  });
}

// A map has answered, or is asked no more.
function answered(stage, pane) {
  stage.waiting.delete(pane);
  if (!stage.behind || stage.waiting.size) return;
  stage.behind = false;
  redraw(stage);
}

// Nothing has changed for a while: all particles of every N, and the picture in words.
function settle(stage) {
  for (const pane of drawnHere(stage).filter(weightsOf)) ask(stage, pane, { whole: true });
  layOut(stage);
  paintMultiples(stage);
}

// The picture of a map in the chosen N is there.
function showPicture(stage, pane) {
  const before = pane.message, first = before?.run !== pane.base.drawing.run;
  takePicture(stage, pane, compose(stage, pane));
  if (!stage.message) return; // the lead's first picture lays the stage out, with what the others have by then
  if (pane === stage.lead) stage.pictures++;
  if (first) {
    layOut(stage);
    paintAll(stage);
    wake(stage);
    return;
  }
  if (String(before.times[stage.steps]) !== String(pane.message.times[stage.steps])) layMarks(stage);
  const isNew = before.arrays[`states_${stage.steps}`] === undefined; // nothing was said of this N without its picture
  if (isNew || before.ahead !== pane.message.ahead) layOut(stage);
  stage.changed.add(stage.steps);
  paintSoon(stage);
}

// What a pane shows from now on.
function takePicture(stage, pane, message) {
  pane.message = message;
  const size = 2 * message.arrays[`states_${stage.steps}`].shape[1];
  if (pane.heads?.length !== size) pane.heads = new Float32Array(size);
}

// ---- the message on show -------------------------------------------------------------------------------------------
function compose(stage, pane) {
  const { start, steps } = stage, { base, draws } = pane, then = baseChoice(base), choice = draws[steps].choice;
  const arrays = {}, ways = Object.fromEntries(COUNTS.map((n) => [n, draws[n]?.choice ?? choiceOf(stage, pane)]));
  const same = (n) => wayOf(ways[n], n) === wayOf(then, n);
  const seeded = choice.seed === then.seed, stopped = choice.delta === then.delta;
  const owned = sameStart(start, base.start) && (!start || releaseOf(stage) === base.drawing.release);
  const own = start && draws[steps].start ? ownPlace(base) : null;
  const take = (name, fits) => {
    if (fits && base.arrays[name]) arrays[name] = base.arrays[name];
  };
  take("density", true);
  take("field", stopped);
  take("exact", choice.sampler === "deterministic" && seeded && stopped);
  for (const n of COUNTS) {
    const { count, states, landings } = draws[n] ?? {};
    if (!states) continue;
    arrays[`states_${n}`] = { values: states, shape: [n + 1, count, 2] };
    if (landings) arrays[`landings_${n}`] = { values: landings, shape: [n, count, 2] };
    take(`legs_${n}`, same(n) && seeded);
    for (const layer of ["mesh", "model"]) take(`${layer}_${n}`, same(n));
    take(`ratio_${n}`, same(n) && seeded && owned && base.arrays[`ratio_${n}`]?.shape[0] === count);
  }
  return {
    ...base,
    run: base.drawing.run,
    key: nameOf(choice),
    choice,
    arrays,
    angles: [choice.horizon, choice.delta].map(angleAt),
    times: Object.fromEntries(COUNTS.map((n) => [n, ways[n].times[n]])),
    progress: Object.fromEntries(COUNTS.map((n) => [n, progressOf(ways[n].times[n])])),
    labels: Object.fromEntries(base.multiples.map((n) => [n, same(n) ? base.labels[n] ?? "" : ""])),
    start: own === null ? null : start,
    own,
    ownIn: Object.fromEntries(COUNTS.map((n) => [n, draws[n]?.start ? own : null])),
    ownBehind: !owned,
    followed: ownPlace(base) + (own === null ? 0 : 1),
    pending: base.pending || !same(steps),
    ahead: !same(steps),
  };
}

function progressOf(times) {
  const angles = times.map(angleAt), [first, last] = [angles[0], angles.at(-1)];
  return angles.map((angle) => (first - angle) / (first - last));
}

// The picture in a sentence or two, for those who do not see it.
function inWords(message, n) {
  const { drawing, own } = message,
    { states, exact } = { states: message.arrays[`states_${n}`], exact: message.arrays.exact };
  const count = states.shape[1] - (own === null ? 0 : 1), jumps = n === 1 ? "1 jump" : `${n} jumps`;
  let words = `${count.toLocaleString("en-US")} particles travel from noise to ${drawing.label} in ${jumps}`;
  const far = (i) => {
    const [a, b] = [statePoint(message, n, n, i), comparisons(message, n, i)[0].points.at(-1)];
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  };
  if (exact) {
    const gaps = [...Array(ownPlace(message)).keys()].map(far).sort((a, b) => a - b);
    words += `; from the same noise, half of them end within ${
      gaps[(gaps.length - 1) >> 1].toFixed(3)
    } of the exact flow's end`;
  } else if (message.arrays[`landings_${n}`]) words += ", with fresh noise after each";
  if (own === null) return `${words}.`;
  const [x, y] = message.start, [endX, endY] = statePoint(message, n, n, own);
  words += `. Your start (${x}, ${y}) ends at (${endX.toFixed(2)}, ${endY.toFixed(2)})`;
  const known = exact && comparisons(message, n, own).length;
  return known ? `${words}, ${far(own).toFixed(3)} from the exact flow's end.` : `${words}.`;
}

// ---- what Python caught up with ------------------------------------------------------------------------------------
// A pane has another map, or none.
function forgetDraws(stage, pane) {
  window.consistencyLabMaps?.forget(pane.name);
  pane.draws = {};
  stage.waiting.delete(pane);
  stage.askedKey = null;
}

// Scenes from Python, one for each map: what was done here since they were asked for holds on, until they say the same.
function takeBases(stage, bases) {
  const before = stage.base?.drawing;
  fitPanes(stage, bases.length);
  bases.forEach((base, i) => {
    const pane = stage.panes[i];
    if (pane.base?.drawing?.run !== base.drawing?.run) forgetDraws(stage, pane);
    pane.base = base;
  });
  const { base, base: { drawing } } = stage;
  if (!drawing) return;
  if (before?.run !== drawing.run) stage.local = nothingDone();
  else if (before.grid !== drawing.grid) stage.local.times = {};
  for (const [n, times] of Object.entries(stage.local.times)) {
    const said = base.moved.includes(Number(n)) ? base.times[n].slice(1, -1) : null;
    if (String(said) === String(times)) delete stage.local.times[n];
  }
}

// What was done on the stage that Python has not heard of: the sampler turned to and what its control showed then; by N
// the times, null for those of the named grid; the number of the last release of a start. `controls` are those of a page
// that has no Streamlit.
const nothingDone = () => ({ sampler: null, times: {}, release: 0, controls: {} });

// A page without Streamlit says what to draw: any of { sampler, grid, share, delta, seed, particles, steps }.
function obeyControls(stage, { steps, ...controls }) {
  Object.assign(stage.local.controls, controls);
  if (steps && stage.message) showSteps(stage, steps);
  redraw(stage);
}
