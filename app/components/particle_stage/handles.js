// The grid times as handles: dragged or moved with the arrow keys, between their neighbours. The picture follows where the
// browser draws; else Python answers on release with the jumps that the new times make.

const NEAREST = 0.006; // of the axis, that two times keep between them
const STRIDE = 0.01; // of the axis, per arrow key; a tenth of it with Shift, five times as much with a page key
const LABEL = 38; // pixels that the label of a time needs

// Where the times of the chosen N stand on the axis, while they move too.
const shownProgress = (stage) =>
  stage.moving?.steps === stage.steps ? stage.moving.progress : stage.message.progress[stage.steps];

function createHandle(stage, j) {
  const handle = document.createElement("span");
  handle.className = "handle";
  handle.tabIndex = 0;
  handle.setAttribute("role", "slider");
  handle.title = "Drag, or use the arrow keys; double-click for the named grid";
  handle.onpointerdown = (event) => {
    if (event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    stage.grip = { j, x: event.clientX };
  };
  handle.onpointermove = (event) => {
    if (stage.grip?.j !== j || Math.abs(event.clientX - stage.grip.x) < 2 && !stage.moving?.dragging) return;
    const box = stage.parts.handles.getBoundingClientRect();
    moveTime(stage, j, (event.clientX - box.left) / box.width);
  };
  handle.onpointerup = handle.onpointercancel = () => {
    stage.grip = null;
    if (stage.moving?.dragging) commitTimes(stage);
  };
  handle.ondblclick = () => restoreTimes(stage);
  handle.onkeydown = (event) => {
    const fine = event.shiftKey ? 0.1 : 1, now = shownProgress(stage)[j];
    const to = {
      ArrowLeft: now - fine * STRIDE,
      ArrowDown: now - fine * STRIDE,
      ArrowRight: now + fine * STRIDE,
      ArrowUp: now + fine * STRIDE,
      PageDown: now - 5 * STRIDE,
      PageUp: now + 5 * STRIDE,
      Home: 0,
      End: 1,
    }[event.key];
    if (event.key === "Escape") restoreTimes(stage);
    if (to === undefined) return;
    event.preventDefault();
    moveTime(stage, j, to);
    clearTimeout(stage.timesSettle);
    stage.timesSettle = setTimeout(() => commitTimes(stage), SETTLE);
  };
  return handle;
}

function moveTime(stage, j, to) {
  const { steps, message } = stage;
  if (stage.moving?.steps !== steps) {
    stage.moving = { steps, progress: [...message.progress[steps]], before: message.times[steps].join() };
  }
  const { progress } = stage.moving;
  progress[j] = Math.min(progress[j + 1] - NEAREST, Math.max(progress[j - 1] + NEAREST, to));
  Object.assign(stage.moving, { j, dragging: true });
  stage.playing = false;
  stage.local.times[steps] = timesBetween(stage);
  redraw(stage);
  layMarks(stage);
  paintSoon(stage);
}

// The times that were moved, to the four figures that Python keeps.
const timesBetween = ({ moving, message }) =>
  moving.progress.slice(1, -1).map((p) => Number(timeAt(message, p).toPrecision(4)));

function commitTimes(stage) {
  clearTimeout(stage.timesSettle);
  const { moving } = stage;
  if (!moving) return;
  moving.dragging = false;
  sendTimes(stage, moving.steps, timesBetween(stage));
}

function restoreTimes(stage) {
  clearTimeout(stage.timesSettle);
  const moved = stage.base.moved.includes(stage.steps) || stage.local.times[stage.steps];
  stage.moving = null;
  stage.local.times[stage.steps] = null;
  redraw(stage);
  layMarks(stage);
  paint(stage);
  if (moved) sendTimes(stage, stage.steps, null);
}

function sendTimes(stage, steps, times) {
  stage.release = (stage.release ?? 0) + 1;
  stage.tell("times", { steps, times, release: stage.release });
}

// Python's answer ends a move, or the picture of the new times; a message that still has the old ones does not.
function takeTimes(stage, fresh) {
  const { moving, message } = stage;
  if (moving && (fresh || (!moving.dragging && message.times[moving.steps].join() !== moving.before))) {
    stage.moving = null;
  }
}

// The marks of the axis, their labels, and a handle at every time between T and δ.
function layMarks(stage) {
  const { message, parts, steps } = stage;
  const progress = shownProgress(stage), times = message.times[steps];
  const label = (j) => timeLabel(stage.moving ? (j % steps ? timeAt(message, progress[j]) : times[j]) : times[j]);
  const room = LABEL / (parts.marks.clientWidth || 700);
  let last = 0.6 * room; // the first label, “T = 3”, stands inside
  parts.marks.replaceChildren(...progress.flatMap((p, j) => {
    const mark = document.createElement("span");
    mark.style.left = `${100 * p}%`;
    const end = j === 0 || j === steps;
    const hidden = !end && (p - last < room || 1 - p < 0.8 * room || (steps > 8 && !stage.moving && j % 4 !== 0));
    if (hidden) return [mark];
    if (!end) last = p;
    const words = document.createElement("small");
    words.textContent = j === 0 ? `T = ${label(j)}` : label(j);
    words.className = j === 0 ? "first" : j === steps ? "last" : "";
    words.style.left = `${100 * p}%`;
    return [mark, words];
  }));
  stage.dots = [...parts.marks.querySelectorAll("span")];
  layHandles(stage, progress);
}

// Handles are kept from one message to the next, so that the one in use keeps the pointer and the focus.
function layHandles(stage, progress) {
  const { parts: { handles }, message, steps } = stage;
  const wanted = message.movable ? steps - 1 : 0;
  while (handles.children.length < wanted) handles.append(createHandle(stage, handles.children.length + 1));
  while (handles.children.length > wanted) handles.lastChild.remove();
  [...handles.children].forEach((handle, i) => {
    const j = i + 1, set = (name, value) => handle.setAttribute(name, value);
    handle.style.left = `${100 * progress[j]}%`;
    set("aria-label", `Time ${j} of ${steps - 1} between T and δ`);
    set("aria-valuemin", Math.round(1000 * progress[j - 1]));
    set("aria-valuemax", Math.round(1000 * progress[j + 1]));
    set("aria-valuenow", Math.round(1000 * progress[j]));
    set("aria-valuetext", `t = ${timeLabel(timeAt(message, progress[j]))}`);
  });
}
