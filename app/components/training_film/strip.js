// The lines below a film: each on a logarithmic scale of its own, against the step, with a mark at the step on show.

const LOOKS = [["ink", []], ["error", [6, 4]], ["model", [2, 3]]];
const TOP = 10, FOOT = 8, LEFT = 12, RIGHT = 118;

// Early steps change most, so they get room: the place of a step between 0 and 1, even in steps at first, then in their
// logarithm.
const EVEN = 50;
const placeOf = (step, last) => Math.log1p(step / EVEN) / Math.log1p(Math.max(1, last) / EVEN);
const stepAt = (place, last) => EVEN * Math.expm1(place * Math.log1p(Math.max(1, last) / EVEN));

function paintStrip(canvas, lines, step, last, palette) {
  const { context, width, height } = sharpen(canvas);
  context.clearRect(0, 0, width, height);
  if (!width) return;
  const x = (at) => LEFT + placeOf(at, last) * (width - LEFT - RIGHT);
  context.font = "12px sans-serif";
  context.textBaseline = "middle";
  Object.entries(lines).forEach(([name, points], i) => {
    const shown = points.filter(([, value]) => value > 0);
    if (!shown.length) return;
    const [colour, dash] = LOOKS[i % LOOKS.length];
    const logs = shown.map(([, value]) => Math.log(value));
    const low = Math.min(...logs), span = Math.max(...logs) - low || 1;
    const y = (value) => TOP + (1 - (Math.log(value) - low) / span) * (height - TOP - FOOT);
    context.strokeStyle = context.fillStyle = palette[colour];
    context.lineWidth = 1.6;
    context.setLineDash(dash);
    context.beginPath();
    shown.forEach(([at, value], k) => context[k ? "lineTo" : "moveTo"](x(at), y(value)));
    context.stroke();
    context.setLineDash([]);
    const now = valueAt(shown, step);
    const text = now === null ? name : `${name} ${short(now)}`;
    context.fillText(text, width - RIGHT + 8, TOP + 8 + 18 * i);
    context.beginPath();
    if (now !== null) context.arc(x(step), y(now), 3, 0, 2 * Math.PI);
    context.fill();
  });
  context.strokeStyle = palette.ink;
  context.globalAlpha = 0.35;
  context.beginPath();
  context.moveTo(x(step), TOP / 2);
  context.lineTo(x(step), height - FOOT / 2);
  context.stroke();
  context.globalAlpha = 1;
}

// The last value at or before a step; null before the first.
function valueAt(points, step) {
  let now = null;
  for (const [at, value] of points) {
    if (at > step + 0.5) break;
    now = value;
  }
  return now;
}

const short = (value) => value < 1e-3 || value >= 1e4 ? value.toExponential(1) : String(Number(value.toPrecision(2)));
