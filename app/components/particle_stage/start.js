// A start of one's own: a point of noise that a person drags over the stage, or steers with the arrow keys. Its paths for
// every N, as one more particle, follow where the browser draws. Else Python answers with them on release, and until then
// there is only the ring.

const HOLD = 300; // milliseconds a finger rests before it draws on the stage instead of scrolling the page
const SLOP = 5; // pixels a pointer may stray and still click
const GRIP = 16; // pixels from the ring that still take hold of it
const STEER = 0.1; // of a standard deviation, per arrow key; a tenth of it with Shift
const SETTLE = 350; // milliseconds after the last arrow key

function wireStart(stage, pane) {
  const { canvas } = pane;
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const take = () => {
    stage.press.drawing = true;
    stage.hover = null;
    placeStart(stage, fromScreen(pane, stage.press.at));
  };
  const end = () => {
    clearTimeout(stage.press?.timer);
    stage.press = null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!stage.message?.startable || !pane.view || event.button !== 0 || !event.isPrimary) return;
    stage.press = {
      id: event.pointerId,
      from: spot(event),
      at: spot(event),
      drawing: false,
      touch: event.pointerType === "touch",
    };
    if (onRing(pane, stage.start, spot(event))) take();
    else if (stage.press.touch) stage.press.timer = setTimeout(take, HOLD);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { press } = stage;
    if (press?.id !== event.pointerId) return;
    press.at = spot(event);
    const far = Math.hypot(press.at[0] - press.from[0], press.at[1] - press.from[1]) > SLOP;
    if (far && press.touch && !press.drawing) clearTimeout(press.timer); // this finger scrolls
    else if (far && !press.drawing) {
      canvas.setPointerCapture(press.id);
      take();
    } else if (press.drawing) placeStart(stage, fromScreen(pane, press.at));
  });
  canvas.addEventListener("pointerup", () => {
    if (stage.press?.drawing) {
      stage.drawn = true;
      commitStart(stage);
    } // the click that follows is not meant to pin
    end();
  });
  canvas.addEventListener("pointercancel", () => {
    if (stage.press?.drawing) {
      stage.start = stage.base.start;
      redraw(stage);
      paintAll(stage);
    }
    end();
  });
  canvas.addEventListener("touchmove", (event) => {
    if (stage.press?.drawing) event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("contextmenu", (event) => {
    if (stage.press?.touch) event.preventDefault();
  });
}

function fromScreen({ view, message: { extent } }, [px, py]) {
  const within = (v) => Math.round(1000 * Math.min(extent, Math.max(-extent, v))) / 1000;
  return [within((px - view.x(0)) / view.scale), within((view.y(0) - py) / view.scale)];
}

function onRing({ view }, start, [px, py]) {
  return start !== null && Math.hypot(view.x(start[0]) - px, view.y(start[1]) - py) < GRIP;
}

function placeStart(stage, start) {
  const answered = ownIndex(stage, stage.message) !== null;
  stage.start = start;
  redraw(stage);
  if (answered && !stage.base.drawing) paintAll(stage);
  else paintSoon(stage); // its old paths leave the small pictures too
}

function commitStart(stage) {
  clearTimeout(stage.settle);
  stage.settle = null;
  stage.startSent = stage.start;
  stage.release = (stage.release ?? 0) + 1;
  if (stage.base.drawing?.redrawn) {
    stage.local.release = releaseOf(stage) + 1;
    redraw(stage);
  }
  stage.tell("start", { at: stage.start, release: stage.release });
}

function removeStart(stage) {
  stage.steering = false;
  if (stage.start === null) return;
  placeStart(stage, null);
  commitStart(stage);
}

// The keyboard: S begins to steer, from the middle of the noise, and ends it; arrows move.
function steer(stage) {
  if (!stage.message.startable) return;
  stage.steering = !stage.steering;
  if (stage.steering && stage.start === null) {
    placeStart(stage, [0, 0]);
    commitStart(stage);
  } else paint(stage);
}

function steerBy(stage, key, fine) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
  const { extent } = stage.message, step = fine ? STEER / 10 : STEER;
  const moved = (v, d) => Math.round(1000 * Math.min(extent, Math.max(-extent, v + d * step))) / 1000;
  placeStart(stage, [moved(stage.start[0], dx), moved(stage.start[1], dy)]);
  clearTimeout(stage.settle);
  stage.settle = setTimeout(() => commitStart(stage), SETTLE);
}

const sameStart = (a, b) => a === b || (a && b && a[0] === b[0] && a[1] === b[1]);

// The particle of the start, once its paths are there.
function ownIndex({ start }, message) {
  if (message.drawing) return start === null ? null : message.own; // a frame behind at most
  return start !== null && message.start !== null && sameStart(start, message.start) ? message.own : null;
}

// What Python says holds, unless a newer start is still on its way there.
function takeStart(stage) {
  const said = stage.base.start;
  if (
    stage.press?.drawing || stage.settle ||
    (stage.startSent !== undefined && !sameStart(stage.startSent, said))
  ) return;
  stage.startSent = undefined;
  stage.start = said;
}

function drawStart(stage, { view, canvas, palette, message }) {
  const { start } = stage;
  if (start === null || !view) return;
  const context = canvas.getContext("2d"), [x, y] = [view.x(start[0]), view.y(start[1])];
  context.strokeStyle = palette.ink;
  context.lineWidth = stage.steering || stage.press?.drawing ? 2.5 : 1.5;
  context.beginPath();
  context.arc(x, y, 9, 0, 2 * Math.PI);
  context.stroke();
  if (ownIndex(stage, message) === null) ring(context, view, start, 3, palette.model, palette.panel);
}
