// A sheet to draw a target on, by pen, mouse, finger or keys. Strokes are whole hundredths of the target's unit, as the
// engine keeps them. Python answers each with the density of what is drawn so far, which then takes the ink's place.

const STRIDE = 2; // hundredths between two points of a stroke at least
const MOVE = 10; // hundredths an arrow key moves; a fifth of it with Shift
const SETTLE = 250; // milliseconds after the last key before Python is told
const BEAD = 1.75; // distance of beads in widths: what a drawing has room for is counted in beads
const pads = new WeakMap();

const beads = ({ width, points }) =>
  1 +
  Math.ceil(
    points.slice(1).reduce((sum, p, i) => sum + Math.hypot(p[0] - points[i][0], p[1] - points[i][1]), 0) /
      (BEAD * width),
  );

// ---- picture ----------------------------------------------------------------------------------------------------
function paintPad(pad) {
  const { message, palette, strokes } = pad;
  const { context, width, height } = sharpen(pad.canvas);
  if (!width || !height || !message) return;
  const view = pad.view = camera(width, height, message.extent);
  const at = ([x, y]) => [view.x(x / 100), view.y(y / 100)];
  context.clearRect(0, 0, width, height);
  drawEdge(context, at, message.reach, palette);
  const answered = pad.image && message.answer === pad.release;
  if (answered) drawDensity(context, pad.image, view, message.extent);
  for (const stroke of strokes) drawStroke(context, stroke, at, view, palette, answered ? 0 : 0.3);
  if (pad.line) drawStroke(context, pad.line, at, view, palette, 0.3);
  const spot = pad.keyed ? pad.cursor : pad.hover;
  if (spot) drawBrush(context, at(spot), (pad.width / 100) * view.scale, pad.keyed, palette);
  window.sketchPad = {
    strokes: strokes.length,
    points: strokes.reduce((n, s) => n + s.points.length, 0),
    answered: Boolean(answered),
    drawing: Boolean(pad.line),
  };
}

function drawEdge(context, at, reach, palette) {
  const [left, top] = at([-reach, reach]), [right, bottom] = at([reach, -reach]);
  context.save();
  context.strokeStyle = palette.ink;
  context.globalAlpha = 0.16;
  context.lineWidth = 1;
  context.setLineDash([2, 5]);
  context.strokeRect(left, top, right - left, bottom - top);
  context.restore();
}

function drawStroke(context, { width, points }, at, view, palette, ink) {
  context.save();
  context.strokeStyle = palette.data;
  context.lineCap = context.lineJoin = "round";
  const trace = () => {
    context.beginPath();
    points.forEach((p, i) => (i ? context.lineTo(...at(p)) : context.moveTo(...at(p))));
    if (points.length === 1) context.lineTo(at(points[0])[0], at(points[0])[1] + 0.01);
    context.stroke();
  };
  if (ink) {
    context.globalAlpha = ink;
    context.lineWidth = Math.max(2, 0.03 * width * view.scale);
    trace();
  }
  context.globalAlpha = 0.75;
  context.lineWidth = points.length === 1 ? 4 : 1.2;
  trace();
  context.restore();
}

function drawBrush(context, [x, y], radius, cross, palette) {
  context.save();
  context.strokeStyle = palette.ink;
  context.globalAlpha = 0.7;
  context.lineWidth = 1;
  context.beginPath();
  context.arc(x, y, Math.max(3, 1.5 * radius), 0, 2 * Math.PI);
  if (cross) {
    context.moveTo(x - 5, y);
    context.lineTo(x + 5, y);
    context.moveTo(x, y - 5);
    context.lineTo(x, y + 5);
  }
  context.stroke();
  context.restore();
}

// ---- what is drawn ----------------------------------------------------------------------------------------------
const within = (pad, v) => Math.round(Math.min(pad.message.reach, Math.max(-pad.message.reach, v)));

function spotOf(pad, event) {
  const box = pad.canvas.getBoundingClientRect();
  const x = (event.clientX - box.left - pad.view.x(0)) / pad.view.scale,
    y = (pad.view.y(0) - event.clientY + box.top) / pad.view.scale;
  return [within(pad, 100 * x), within(pad, 100 * y)];
}

function extend(pad, point) {
  const { points } = pad.line, last = points[points.length - 1];
  if (Math.hypot(point[0] - last[0], point[1] - last[1]) < STRIDE) return;
  const longer = { ...pad.line, points: [...points, point] };
  if (pad.used + beads(longer) <= pad.message.room) pad.line = longer;
  else if (!pad.full) {
    pad.full = true;
    pad.say("The drawing is full.");
  }
}

function begin(pad, point) {
  pad.used = pad.strokes.reduce((sum, stroke) => sum + beads(stroke), 0);
  pad.full = pad.used >= pad.message.room;
  if (pad.full) pad.say("The drawing is full.");
  else pad.line = { width: pad.width, points: [point] };
}

function finish(pad) {
  if (!pad.line) return;
  change(pad, [...pad.strokes, pad.line]);
  pad.line = null;
  paintPad(pad);
}

function change(pad, strokes) {
  pad.past.push(pad.strokes);
  pad.future = [];
  pad.strokes = strokes;
  told(pad);
}

function step(pad, from, to) {
  pad.line = null;
  if (!from.length) return;
  to.push(pad.strokes);
  pad.strokes = from.pop();
  told(pad);
}

function told(pad) {
  pad.release += 1;
  const count = pad.strokes.length;
  pad.say(count === 1 ? "1 line drawn." : `${count} lines drawn.`);
  equip(pad);
  paintPad(pad);
  pad.tell("drawing", { strokes: pad.strokes, release: pad.release });
}

function equip(pad) {
  pad.undo.disabled = !pad.past.length;
  pad.redo.disabled = !pad.future.length;
  pad.clear.disabled = !pad.strokes.length;
  pad.invitation.hidden = Boolean(pad.strokes.length || pad.line);
}

// ---- pointer and keys -------------------------------------------------------------------------------------------
function wirePointer(pad) {
  const { canvas } = pad;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary || !pad.view) return;
    finish(pad);
    pad.keyed = false;
    canvas.setPointerCapture(event.pointerId);
    begin(pad, spotOf(pad, event));
    pad.invitation.hidden = true;
    paintPad(pad);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.isPrimary || !pad.view) return;
    pad.hover = event.pointerType === "touch" && !pad.line ? null : spotOf(pad, event);
    if (pad.line && !pad.keyed) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) extend(pad, spotOf(pad, part));
    }
    paintPad(pad);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!pad.keyed && event.isPrimary) {
      if (event.pointerType === "touch") pad.hover = null;
      finish(pad);
    }
  });
  canvas.addEventListener("pointercancel", () => {
    pad.line = pad.keyed ? pad.line : null;
    equip(pad);
    paintPad(pad);
  });
  canvas.addEventListener("pointerleave", () => {
    pad.hover = null;
    paintPad(pad);
  });
  canvas.addEventListener("blur", () => {
    if (pad.keyed) finish(pad);
    pad.keyed = false;
    paintPad(pad);
  });
}

function wireKeys(pad) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  pad.canvas.addEventListener("keydown", (event) => {
    const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    if (command && (key === "z" || key === "y")) {
      key === "y" || event.shiftKey ? step(pad, pad.future, pad.past) : step(pad, pad.past, pad.future);
    } else if (command || event.altKey) return;
    else if (moves[event.key]) steerPad(pad, moves[event.key], event.shiftKey ? MOVE / 5 : MOVE);
    else if (event.key === " ") setPoint(pad);
    else if (event.key === "Enter") {
      if (pad.line) finish(pad);
      else setPoint(pad);
    } else if (event.key === "Escape" && pad.line) {
      pad.line = null;
      equip(pad);
      pad.say("Line left out.");
    } else if (event.key === "Backspace") step(pad, pad.past, pad.future);
    else if (event.key === "+" || event.key === "-") {
      pad.brush.value = pad.width + (event.key === "+" ? 2 : -2);
      pad.width = Number(pad.brush.value);
      pad.say(`Brush ${pad.width / 100}.`);
    } else return;
    event.preventDefault();
    paintPad(pad);
  });
}

function steerPad(pad, [dx, dy], by) {
  pad.keyed = true;
  pad.cursor = [within(pad, pad.cursor[0] + by * dx), within(pad, pad.cursor[1] + by * dy)];
  clearTimeout(pad.spoken);
  pad.spoken = setTimeout(() => pad.say(`At ${pad.cursor.map((v) => (v / 100).toFixed(2)).join(", ")}.`), SETTLE);
}

function setPoint(pad) {
  pad.keyed = true;
  if (pad.line) extend(pad, pad.cursor);
  else begin(pad, pad.cursor);
  equip(pad);
  if (pad.line) {
    pad.say(`Point ${pad.line.points.length} at ${pad.cursor.map((v) => (v / 100).toFixed(2)).join(", ")}.`);
  }
}

// ---- component --------------------------------------------------------------------------------------------------
function makePad(host) {
  const find = (name) => host.querySelector(name);
  const pad = {
    figure: find(".pad"),
    canvas: find("canvas"),
    undo: find(".undo"),
    redo: find(".redo"),
    clear: find(".clear"),
    brush: find(".brush input"),
    invitation: find(".invitation"),
    summary: find(".summary"),
    strokes: [],
    past: [],
    future: [],
    line: null,
    cursor: [0, 0],
    hover: null,
    keyed: false,
    release: 0,
  };
  pad.say = (words) => {
    pad.summary.textContent = words;
  };
  pad.undo.addEventListener("click", () => step(pad, pad.past, pad.future));
  pad.redo.addEventListener("click", () => step(pad, pad.future, pad.past));
  pad.clear.addEventListener("click", () => {
    if (pad.strokes.length) change(pad, []);
  });
  pad.brush.addEventListener("input", () => {
    pad.width = Number(pad.brush.value);
  });
  wirePointer(pad);
  wireKeys(pad);
  pad.size = new ResizeObserver(() => paintPad(pad));
  pad.size.observe(pad.canvas);
  return pad;
}

// Python's drawing replaces this one only when it says so: it answers old releases too.
function adopt(pad, message) {
  if (pad.adopted === message.adopt) return;
  const first = pad.adopted === undefined;
  Object.assign(pad, {
    adopted: message.adopt,
    strokes: message.strokes,
    past: [],
    future: [],
    line: null,
    release: message.answer,
  });
  if (!first) return;
  Object.assign(pad.brush, { min: message.widths[0], max: message.widths[1] });
  pad.width = message.strokes.at(-1)?.width ?? message.width;
  pad.brush.value = pad.width;
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  let pad = pads.get(parentElement);
  if (!pad) pads.set(parentElement, pad = makePad(parentElement));
  pad.tell = setStateValue;
  pad.palette = readPalette(pad.figure);
  pad.figure.classList.toggle("dark", pad.palette.dark);
  pad.message = readMessage(data);
  adopt(pad, pad.message);
  pad.image = pad.message.arrays.density ? densityImage(pad.message.arrays.density, pad.palette.data) : null;
  pad.canvas.setAttribute("aria-label", pad.message.summary);
  equip(pad);
  paintPad(pad);
  return () => {
    pad.size.disconnect();
    pads.delete(parentElement);
  };
}
