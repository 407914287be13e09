// The flow of a line: time runs from noise on the left to data on the right, x upwards. One-dimensional paths never
// cross, so any point lies between two neighbours of the lattice of paths, and the path through it is found by mixing
// them; the model's jumps from the same noise are mixed alike.

const flows = new WeakMap();
const MARGIN = { left: 44, right: 26, top: 34, bottom: 40 };
const HINT =
  "Point anywhere to see the path through that point. Click to pin it. Keys: arrows move, 1 2 4 8 set N, Esc lets go.";

// ---- geometry ----------------------------------------------------------------------------------------------------
function frameOf(width, height, message) {
  const { left, right, bottom } = MARGIN;
  const top = width < 480 ? 58 : MARGIN.top; // where the legend takes two rows
  const [first, last] = [message.angles[0], message.angles.at(-1)];
  const inner = { width: width - left - right, height: height - top - bottom };
  return {
    ...inner,
    left,
    top,
    x: (theta) => left + inner.width * (first - theta) / (first - last),
    y: (v) => top + inner.height * (1 - (v / message.extent + 1) / 2),
    theta: (px) => first - (first - last) * (px - left) / inner.width,
    value: (py) => message.extent * (1 - 2 * (py - top) / inner.height),
  };
}

const timeOf = (theta) => -Math.log(Math.cos(theta));
const angleOf = (t) => Math.acos(Math.exp(-t));
const label = (
  t,
) => (t === 0 ? "0" : t >= 0.995 ? t.toFixed(1).replace(/\.0$/, "") : t >= 0.1 ? t.toFixed(2) : t.toFixed(3));
const mix = (a, b, share) => a + share * (b - a);

// Level and share in between of an angle; the levels are even in θ.
function levelOf(message, theta) {
  const count = message.angles.length - 1;
  const at = Math.min(
    count,
    Math.max(0, count * (message.angles[0] - theta) / (message.angles[0] - message.angles[count])),
  );
  const level = Math.min(count - 1, Math.floor(at));
  return { level, share: at - level };
}

// Where a value stands among the ordered paths at a level: an index with its fraction.
function place(message, theta, value) {
  const { values, shape: [, m] } = message.arrays.paths;
  const { level, share } = levelOf(message, theta);
  const at = (i) => mix(values[level * m + i], values[(level + 1) * m + i], share);
  let low = 0, high = m - 1;
  if (value <= at(low)) return 0;
  if (value >= at(high)) return high;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(middle) <= value) low = middle;
    else high = middle;
  }
  const width = at(high) - at(low);
  return low + (width > 0 ? (value - at(low)) / width : 0);
}

function between(array, row, index) {
  const m = array.shape[1], i = Math.min(m - 2, Math.floor(index));
  return mix(array.values[row * m + i], array.values[row * m + i + 1], index - i);
}

// Where one jump from the point to δ lands.
function landing(message, theta, value) {
  const array = message.arrays.landings, across = array.shape[1];
  const { level, share } = levelOf(message, theta);
  const column = Math.min(across - 1, Math.max(0, (value / message.extent + 1) / 2 * (across - 1)));
  return mix(between(array, level, column), between(array, level + 1, column), share);
}

// ---- painting ----------------------------------------------------------------------------------------------------
function line(context, points, colour, width, opacity, dash = []) {
  context.save();
  Object.assign(context, { strokeStyle: colour, lineWidth: width, globalAlpha: opacity, lineJoin: "round" });
  context.setLineDash(dash);
  context.beginPath();
  points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.restore();
}

function dots(context, points, colour, panel, radius, opacity) {
  context.save();
  context.globalAlpha = opacity;
  Object.assign(context, { strokeStyle: colour, fillStyle: panel, lineWidth: 1.6 });
  for (const [x, y] of points) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fill();
    context.stroke();
  }
  context.restore();
}

const exactPath = (flow, index) =>
  flow.message.angles.map((
    theta,
    k,
  ) => [flow.view.x(theta), flow.view.y(between(flow.message.arrays.paths, k, index))]);
const jumps = (flow, index) =>
  flow.message.grids[flow.steps].map((
    t,
    k,
  ) => [flow.view.x(angleOf(t)), flow.view.y(between(flow.message.arrays[`states_${flow.steps}`], k, index))]);

function paintGround(flow) {
  const { message, palette } = flow;
  const { context, width, height } = sharpen(flow.ground);
  if (!width || !height) return;
  const view = (flow.view = frameOf(width, height, message));
  context.clearRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(flow.image, view.left, view.top, view.width, view.height);
  axes(context, flow);
  context.save();
  context.beginPath();
  context.rect(view.left, view.top - 4, view.width + 8, view.height + 8);
  context.clip();
  for (const i of message.shown) line(context, exactPath(flow, i), palette.exact, 1.3, 0.55);
  for (const i of message.shown) {
    const points = jumps(flow, i);
    line(context, points, palette.model, 1.1, 0.45);
    dots(context, points, palette.model, palette.panel, 2.2, 0.7);
  }
  context.restore();
}

function axes(context, flow) {
  const { message, view, palette } = flow;
  Object.assign(context, {
    fillStyle: palette.ink,
    strokeStyle: palette.ink,
    lineWidth: 1,
    font: `12px ${getComputedStyle(flow.section).fontFamily}`,
  });
  context.globalAlpha = 0.72;
  context.textAlign = "center";
  context.textBaseline = "top";
  const base = view.top + view.height;
  const ends = [message.times[0], message.times.at(-1)];
  const ticks = [
    ends[0],
    ...[1, 0.5, 0.2, 0.05, 0.01].filter((t) =>
      t < ends[0] && t > ends[1] && view.x(angleOf(ends[1])) - view.x(angleOf(t)) > 26
    ),
    ends[1],
  ];
  for (const t of ticks) context.fillText(t === ends[0] ? `T = ${label(t)}` : label(t), view.x(angleOf(t)), base + 8);
  context.fillText("t, from noise to data", view.left + view.width / 2, base + 23);
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let v = -Math.floor(message.extent); v <= message.extent; v++) {
    context.fillText(String(v).replace("-", "−"), view.left - 8, view.y(v));
  }
  context.fillText("x", view.left - 8, view.top - 14);
  context.globalAlpha = 1;
}

function paint(flow) {
  const { message, palette } = flow;
  const { context, width, height } = sharpen(flow.canvas);
  if (!width || !height || !flow.view) return;
  context.clearRect(0, 0, width, height);
  const at = flow.hover ?? flow.pinned;
  const counter = (window.flowPicture ??= { frames: 0 });
  counter.frames++;
  if (!at) {
    write(flow.readout, HINT);
    Object.assign(counter, { at: null, steps: flow.steps });
    return;
  }
  const theta = angleOf(at[0]), index = place(message, theta, at[1]);
  const path = exactPath(flow, index), chain = jumps(flow, index);
  const end = between(message.arrays.paths, message.angles.length - 1, index);
  const arrived = between(message.arrays[`states_${flow.steps}`], message.grids[flow.steps].length - 1, index);
  const landed = landing(message, theta, at[1]);
  const right = flow.view.x(message.angles.at(-1)), here = [flow.view.x(theta), flow.view.y(at[1])];
  context.save();
  context.globalAlpha = 0.5;
  context.fillStyle = palette.panel;
  context.fillRect(flow.view.left, flow.view.top, flow.view.width, flow.view.height); // the rest steps back
  context.restore();
  line(context, path, palette.exact, 3, 1);
  line(context, chain, palette.model, 2.2, 1);
  dots(context, chain, palette.model, palette.panel, 3.6, 1);
  line(context, [here, [right, flow.view.y(landed)]], palette.model, 1.6, 0.9, [5, 4]);
  line(context, [[right + 9, flow.view.y(landed)], [right + 9, flow.view.y(end)]], palette.error, 4, 1);
  Object.assign(context, { fillStyle: palette.ink });
  context.beginPath();
  context.arc(...here, 4.5, 0, 7);
  context.fill();
  const off = (v) => Math.abs(v - end).toFixed(3);
  const count = flow.steps === 1 ? "1 jump" : `${flow.steps} jumps`;
  const words = `t = ${label(at[0])}, x = ${at[1].toFixed(2)}: the exact path ends at ${
    end.toFixed(3)
  }; one jump from here lands ${off(landed)} away, ${count} from its noise ${off(arrived)} away.`;
  write(flow.readout, words);
  Object.assign(counter, { at, end, landed, arrived, steps: flow.steps });
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text.replaceAll("-", "−");
}

// ---- hands -------------------------------------------------------------------------------------------------------
function pointed(flow, event) {
  const box = flow.canvas.getBoundingClientRect();
  return clamped(flow, timeOf(flow.view.theta(event.clientX - box.left)), flow.view.value(event.clientY - box.top));
}

function clamped(flow, t, x) {
  const { times, extent } = flow.message;
  return [
    Math.min(times[0], Math.max(times.at(-1), Number.isFinite(t) ? t : times[0])),
    Math.min(extent, Math.max(-extent, x)),
  ];
}

function pin(flow, at) {
  flow.pinned = at;
  flow.tell("at", {
    at: at && at.map((v) => Number(v.toPrecision(4))),
    release: flow.release = (flow.release ?? 0) + 1,
  });
  paint(flow);
}

function setSteps(flow, n) {
  if (!flow.message.counts.includes(n) || n === flow.steps) return;
  flow.steps = flow.sent = n;
  flow.tell("steps", n);
  layOut(flow);
  paintGround(flow);
  paint(flow);
}

function key(flow, event) {
  const at = flow.pinned ?? [timeOf(mix(flow.message.angles[0], flow.message.angles.at(-1), 0.5)), 0];
  const step = event.shiftKey ? 5 : 1, stride = (flow.message.angles[0] - flow.message.angles.at(-1)) / 96;
  const moved = (by, dx) => () => {
    const theta = Math.min(
      flow.message.angles[0],
      Math.max(flow.message.angles.at(-1), angleOf(at[0]) + by * step * stride),
    );
    flow.hover = null;
    pin(flow, clamped(flow, timeOf(theta), at[1] + dx * step * flow.message.extent / 80));
  };
  const act = {
    ArrowLeft: moved(1, 0),
    ArrowRight: moved(-1, 0),
    ArrowUp: moved(0, 1),
    ArrowDown: moved(0, -1),
    Escape: () => pin(flow, null),
  }[event.key] ??
    (flow.message.counts.includes(Number(event.key)) ? () => setSteps(flow, Number(event.key)) : null);
  if (act && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    act();
  }
}

function save(flow) {
  const image = document.createElement("canvas");
  image.width = flow.ground.width;
  image.height = flow.ground.height;
  const context = image.getContext("2d");
  context.fillStyle = flow.palette.panel;
  context.fillRect(0, 0, image.width, image.height);
  context.drawImage(flow.ground, 0, 0);
  context.drawImage(flow.canvas, 0, 0);
  image.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "flow.png";
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

// ---- building ----------------------------------------------------------------------------------------------------
function create(parent) {
  const flow = {
    section: parent.querySelector(".flow"),
    ground: parent.querySelector(".ground"),
    canvas: parent.querySelector(".view"),
    legend: parent.querySelector(".legend"),
    counts: parent.querySelector(".counts"),
    readout: parent.querySelector(".readout"),
    hover: null,
    pinned: null,
    sent: null,
  };
  flow.canvas.addEventListener("pointermove", (event) => {
    if (flow.view) {
      flow.hover = pointed(flow, event);
      paint(flow);
    }
  });
  flow.canvas.addEventListener("pointerleave", () => {
    flow.hover = null;
    paint(flow);
  });
  flow.canvas.addEventListener("click", (event) => {
    flow.hover = null;
    pin(flow, pointed(flow, event));
  });
  flow.canvas.addEventListener("keydown", (event) => key(flow, event));
  parent.querySelector(".save").addEventListener("click", () => save(flow));
  flow.size = new ResizeObserver(() => {
    if (flow.message) {
      paintGround(flow);
      paint(flow);
    }
  });
  flow.size.observe(flow.canvas);
  flow.destroy = () => {
    flow.size.disconnect();
    flows.delete(parent);
  };
  return flow;
}

const LEGEND = [
  ["p at t", "data", "M2 5H18", 9],
  ["Exact path", "exact", "M0 9Q8 9 10 5T20 1", 2],
  ["Model jumps", "model", "M0 9L20 1", 2],
  ["One jump", "model", "M0 9L20 1", 2, "4 3"],
  ["Error", "error", "M10 0V10", 4],
];

function layOut(flow) {
  const { message, palette } = flow;
  flow.section.classList.toggle("dark", palette.dark);
  flow.section.style.setProperty("--model", palette.model);
  flow.canvas.setAttribute("aria-label", message.summary);
  flow.legend.innerHTML = LEGEND.map(([words, meaning, path, width, dash]) =>
    `<span><svg viewBox="0 0 20 10" fill="none" stroke="${palette[meaning]}" stroke-width="${width}" stroke-opacity="${
      width > 5 ? 0.5 : 1
    }" stroke-dasharray="${dash ?? ""}"><path d="${path}"/></svg>${words}</span>`
  ).join("");
  if (flow.counts.children.length !== message.counts.length + 1) {
    flow.counts.replaceChildren(
      document.createElement("b"),
      ...message.counts.map(() => Object.assign(document.createElement("button"), { type: "button" })),
    );
    flow.counts.firstChild.textContent = "N";
  }
  message.counts.forEach((n, j) => {
    const button = flow.counts.children[j + 1];
    button.textContent = n;
    button.setAttribute("aria-pressed", n === flow.steps);
    button.onclick = () => setSteps(flow, n);
  });
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  let flow = flows.get(parentElement);
  if (!flow) flows.set(parentElement, flow = create(parentElement));
  const message = readMessage(data), fresh = message.key !== flow.message?.key;
  const palette = readPalette(flow.section);
  Object.assign(flow, {
    message,
    palette,
    tell: setStateValue,
    image: densityImage(message.arrays.density, palette.data),
  });
  // An echo of an older choice must not undo a newer one made here meanwhile.
  if (flow.sent === null || message.steps === flow.sent || fresh) {
    flow.sent = null;
    flow.steps = message.steps;
  }
  if (fresh) {
    flow.hover = null;
    flow.pinned = message.at;
  }
  layOut(flow);
  paintGround(flow);
  paint(flow);
  return flow.destroy;
}
