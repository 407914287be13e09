// Painting the stage. Everything here is a function of (message, choice of N, progress u) and changes nothing else.
// u runs from 0 (noise, time T) to 1 (data, time δ), linear in the angle θ.

const ease = (w) => w * w * (3 - 2 * w);
const HOP = 0.8; // with renoise, a jump takes this share of its turn and the fresh noise the rest

// Which jump u falls in, and how far into it.
function locate(progress, u) {
  let k = 0;
  while (k < progress.length - 2 && u >= progress[k + 1]) k++;
  return { k, w: Math.min(1, Math.max(0, (u - progress[k]) / (progress[k + 1] - progress[k]))) };
}

// The positions of all particles at progress u, written into `out` (x, y interleaved).
function positions(message, steps, u, out) {
  const { k, w } = locate(message.progress[steps], u);
  const { values: states, shape } = message.arrays[`states_${steps}`];
  const landings = message.arrays[`landings_${steps}`]?.values;
  const size = 2 * shape[1];
  let from = states.subarray(k * size, (k + 1) * size);
  let to = states.subarray((k + 1) * size, (k + 2) * size);
  let share = ease(w);
  if (landings) {
    const landed = landings.subarray(k * size, (k + 1) * size);
    if (w < HOP) {
      to = landed;
      share = ease(w / HOP);
    } else {
      from = landed;
      share = ease((w - HOP) / (1 - HOP));
    }
  }
  for (let i = 0; i < size; i++) out[i] = from[i] + share * (to[i] - from[i]);
  return shape[1];
}

function statePoint(message, steps, k, i) {
  const { values, shape } = message.arrays[`states_${steps}`];
  const at = 2 * (k * shape[1] + i);
  return [values[at], values[at + 1]];
}

function landingPoint(message, steps, k, i) {
  const { values, shape } = message.arrays[`landings_${steps}`];
  const at = 2 * (k * shape[1] + i);
  return [values[at], values[at + 1]];
}

// What the jumps of particle i are compared with: curves of the exact flow, each with the stretch of u it belongs to and
// the point where the model arrived instead. Deterministic: one curve, all the way from the same noise. Renoised: one per
// jump, from where that jump began, since fresh noise leaves the first curve behind.
function comparisons(message, steps, i) {
  if (message.ownBehind && i === message.own) return []; // Python has not said yet where the exact flow takes it
  const legs = message.arrays[`legs_${steps}`], progress = message.progress[steps];
  if (legs) {
    const [jumps, levels, followed] = legs.shape;
    return Array.from({ length: jumps }, (_, k) => ({
      from: progress[k],
      to: progress[k] + HOP * (progress[k + 1] - progress[k]),
      arrived: landingPoint(message, steps, k, i),
      points: Array.from({ length: levels }, (_, level) => pair(legs.values, (k * levels + level) * followed + i)),
    }));
  }
  if (!message.arrays.exact) return [];
  const { values, shape: [levels, followed] } = message.arrays.exact;
  return [{
    from: 0,
    to: 1,
    arrived: statePoint(message, steps, steps, i),
    points: Array.from({ length: levels }, (_, level) => pair(values, level * followed + i)),
  }];
}

const pair = (values, at) => [values[2 * at], values[2 * at + 1]];

function line(context, view, points) {
  context.beginPath();
  points.forEach(([x, y], j) => (j ? context.lineTo(view.x(x), view.y(y)) : context.moveTo(view.x(x), view.y(y))));
  context.stroke();
}

function ring(context, view, [x, y], radius, fill, stroke) {
  context.beginPath();
  context.arc(view.x(x), view.y(y), radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  if (stroke) {
    context.strokeStyle = stroke;
    context.stroke();
  }
}

// A curve of the exact flow: the part already travelled opaque, the rest faint.
function drawExact(context, view, curve, u, strength, palette, size) {
  const last = curve.points.length - 1;
  const travelled = last * Math.min(1, Math.max(0, (u - curve.from) / (curve.to - curve.from)));
  const reached = Math.min(last, Math.floor(travelled)), rest = travelled - reached;
  const [a, b] = [curve.points[reached], curve.points[Math.min(last, reached + 1)]];
  const head = [a[0] + rest * (b[0] - a[0]), a[1] + rest * (b[1] - a[1])];
  context.strokeStyle = palette.exact;
  context.lineWidth = 1.8 * size;
  context.globalAlpha = 0.22 * strength;
  line(context, view, [head, ...curve.points.slice(reached + 1)]);
  context.globalAlpha = strength;
  line(context, view, [...curve.points.slice(0, reached + 1), head]);
  if (travelled > 0 && travelled < last && size >= 1) ring(context, view, head, 3 * size, palette.exact);
}

// The jumps of particle i: straight segments between open dots at the grid times; fresh noise as a dotted hop.
function drawJumps(context, view, message, steps, i, u, head, strength, palette, size) {
  const { k, w } = locate(message.progress[steps], u);
  const renoised = message.arrays[`landings_${steps}`] !== undefined;
  context.lineWidth = 1.5 * size;
  for (let j = 0; j < steps; j++) {
    const [from, to] = [statePoint(message, steps, j, i), statePoint(message, steps, j + 1, i)];
    const landed = renoised ? landingPoint(message, steps, j, i) : to;
    context.strokeStyle = palette.model;
    context.globalAlpha = (j < k || u >= 1 ? 1 : 0.2) * strength;
    line(context, view, [from, landed]);
    if (renoised) {
      context.setLineDash([1.5, 3]);
      line(context, view, [landed, to]);
      context.setLineDash([]);
    }
    if (j === k && u < 1 && head) {
      context.globalAlpha = strength;
      line(context, view, renoised && w > HOP ? [from, landed, head] : [from, head]);
    }
  }
  context.lineWidth = 1.3 * size;
  for (let j = 0; j <= steps; j++) {
    context.globalAlpha = (j <= k || u >= 1 ? 1 : 0.25) * strength;
    const end = j === steps;
    const radius = (end ? 3.4 : 2.6) * size * (end && size < 1 ? 0.8 : 1);
    ring(
      context,
      view,
      statePoint(message, steps, j, i),
      radius,
      end && u >= 1 ? palette.model : palette.panel,
      palette.model,
    );
  }
}

// The error: from where the model arrived to where the exact flow takes the same point.
function drawError(context, view, curve, u, strength, palette, size) {
  const over = u >= curve.to;
  context.globalAlpha = (over ? 1 : 0.3) * strength;
  context.strokeStyle = palette.error;
  context.lineWidth = 1.8 * size;
  context.setLineDash([4 * size, 3 * size]);
  const end = curve.points.at(-1);
  line(context, view, [curve.arrived, end]);
  context.setLineDash([]);
  if (over) ring(context, view, end, 2.4 * size, palette.exact);
}

// One picture. `look` = { layers, selected: Set or null, shown: indices with paths, ground: image or null, compact }.
function drawScene(canvas, message, steps, u, palette, heads, look) {
  const { context, width, height } = sharpen(canvas);
  if (!width || !height) return null;
  const view = camera(width, height, message.extent);
  const size = look.compact ? 0.7 : Math.min(1.6, Math.max(1, Math.min(width, height) / 700));
  context.clearRect(0, 0, width, height);
  if (look.ground) drawDensity(context, look.ground, view, message.extent);
  const count = look.compact ? Math.min(message.compact, heads.length / 2) : heads.length / 2;
  positions(message, steps, u, heads);
  drawMap(context, view, message, steps, u, palette, look);
  if (look.layers.ratio && u >= 1 && !look.compact && message.arrays[`ratio_${steps}`]) {
    drawRatios(context, view, heads, message, steps, palette);
  } else drawDots(context, heads, count, view, look.compact ? 1.2 : 2 * size, palette.model, 0.5);
  context.lineJoin = context.lineCap = "round";
  for (const i of look.shown) {
    const strength = !look.selected || look.selected.has(i) ? 1 : 0.15;
    const head = [heads[2 * i], heads[2 * i + 1]];
    const curves = i < message.followed ? comparisons(message, steps, i) : [];
    if (look.layers.exact) { for (const curve of curves) drawExact(context, view, curve, u, strength, palette, size); }
    if (look.layers.jumps) drawJumps(context, view, message, steps, i, u, head, strength, palette, size);
    if (look.layers.error) { for (const curve of curves) drawError(context, view, curve, u, strength, palette, size); }
    context.globalAlpha = strength;
    context.lineWidth = 2;
    if (!look.compact) ring(context, view, head, 4.6 * size, palette.model, palette.panel);
  }
  context.globalAlpha = 1;
  return view;
}
