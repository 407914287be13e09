// A cloud in space: it turns slowly by itself until somebody turns it, by dragging or with the arrow keys.

const PACE = 0.12; // radians a second
const NUDGE = 0.12; // radians an arrow key turns
const TILT = 0.42; // radians from which the cloud is seen at first

const turns = (cloud) => cloud.message?.space && !cloud.calm && !cloud.held && document.visibilityState === "visible";

function paintSpace(cloud, context, view, samples) {
  const { message, palette } = cloud;
  const now = performance.now();
  if (turns(cloud)) cloud.turn += PACE * Math.min(0.1, (now - (cloud.seen ?? now)) / 1000);
  cloud.seen = now;
  drawAxes(context, view, cloud, message, palette);
  const { data } = message.arrays;
  if (data) { // rings beside the model's dots: colour alone would not tell them apart
    const [radius, opacity, hole] = samples ? [2.4, 0.3, 1.4] : [1.5, 0.5, 0];
    drawDots(context, turned(data.values, cloud), data.shape[0], view, radius, palette.data, opacity, hole);
  }
  if (samples) drawDots(context, turned(samples, cloud), samples.length / 3, view, 1.9, palette.model, 0.55);
}

// Positions on the screen, in the target's units: the third coordinate points up, the first two turn around it.
function turned(xyz, { turn, tilt }) {
  const cos = Math.cos(turn), sin = Math.sin(turn), up = Math.cos(tilt), over = Math.sin(tilt);
  const flat = new Float32Array((xyz.length / 3) * 2);
  for (let i = 0, j = 0; i < xyz.length; i += 3, j += 2) {
    flat[j] = cos * xyz[i] - sin * xyz[i + 1];
    flat[j + 1] = up * xyz[i + 2] + over * (sin * xyz[i] + cos * xyz[i + 1]);
  }
  return flat;
}

function drawAxes(context, view, cloud, message, palette) {
  const length = 0.72 * message.extent;
  context.save();
  context.strokeStyle = context.fillStyle = palette.ink;
  context.lineWidth = 1;
  context.lineCap = "butt";
  context.font = "12px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  [[length, 0, 0], [0, length, 0], [0, 0, length]].forEach((end, i) => {
    const [x, y] = turned(end, cloud), [u, v] = turned(end.map((e) => 1.09 * e), cloud);
    context.globalAlpha = 0.25;
    context.beginPath();
    context.moveTo(view.x(0), view.y(0));
    context.lineTo(view.x(x), view.y(y));
    context.stroke();
    context.globalAlpha = 0.7;
    context.fillText(message.axes[i] ?? "", view.x(u), view.y(v));
  });
  context.restore();
}

function wireTurning(cloud) {
  const { canvas } = cloud;
  Object.assign(cloud, { turn: 0.6, tilt: TILT, held: false });
  const by = (turn, tilt) => {
    cloud.held = true;
    cloud.turn += turn;
    cloud.tilt = Math.max(-1.5, Math.min(1.5, cloud.tilt + tilt));
    paintCloud(cloud, 1);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!cloud.message?.space || !event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    cloud.grip = [event.clientX, event.clientY];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!cloud.grip || !event.isPrimary) return;
    const [x, y] = cloud.grip;
    cloud.grip = [event.clientX, event.clientY];
    by((event.clientX - x) / 140, (event.clientY - y) / 140);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      cloud.grip = null;
    });
  }
  const moves = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, NUDGE], ArrowDown: [0, -NUDGE] };
  canvas.addEventListener("keydown", (event) => {
    if (!cloud.message?.space || !moves[event.key]) return;
    event.preventDefault();
    by(...moves[event.key]);
  });
  document.addEventListener("visibilitychange", () => {
    cloud.seen = undefined;
    if (turns(cloud)) glide(cloud);
  }, { signal: cloud.ended.signal });
}
