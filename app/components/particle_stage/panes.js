// A pane of the stage: the canvas of one map, with what is drawn on it.

const OF_ALL = ["density", "exact", "field"]; // arrays that the maps of a message share

// The scenes of a message, one for each map: what those after the first do not say they share with it.
function scenesOf({ beside, ...first }) {
  const share = (one) => Object.fromEntries(Object.entries(one).filter(([name]) => OF_ALL.includes(name)));
  const ownArrays = (i) => {
    const mark = `${i}/`, named = Object.entries(first.arrays).filter(([name]) => name.startsWith(mark));
    return Object.fromEntries(named.map(([name, array]) => [name.slice(mark.length), array]));
  };
  return [
    first,
    ...beside.map((own, i) => ({ ...first, ...own, arrays: { ...share(first.arrays), ...ownArrays(i) } })),
  ];
}

// `base` is its scene as Python sent it, `draws` what the browser drew of it by N, `message` what is on show, `heads` where
// its particles are, and `view` where they are on the canvas.
function addPane(stage, frame) {
  const find = (name) => frame.querySelector(`.${name}`);
  const pane = {
    frame,
    name: `${stage.name}, map ${stage.panes.length}`,
    title: find("title"),
    ground: find("ground"),
    canvas: find("view"),
    axes: find("axes"),
    readout: find("readout"),
    base: null,
    draws: {},
    message: null,
    heads: null,
    view: null,
    palette: null,
    image: null,
  };
  stage.panes.push(pane);
  const { canvas } = pane;
  wireStart(stage, pane);
  canvas.onpointermove = (event) => {
    if (!stage.press?.drawing) hover(stage, nearest(stage, pane, event));
  };
  canvas.onpointerleave = () => hover(stage, null);
  canvas.onclick = (event) => {
    if (stage.drawn) {
      stage.drawn = false;
      return;
    }
    const i = nearest(stage, pane, event);
    if (i === null) stage.pinned.clear();
    else if (!stage.pinned.delete(i)) stage.pinned.add(i);
    paint(stage);
  };
}

// As many panes as there are maps; the first one stays.
function fitPanes(stage, count) {
  const { panes } = stage.parts;
  while (stage.panes.length < count) {
    const frame = stage.panes[0].frame.cloneNode(true);
    panes.append(frame);
    addPane(stage, frame);
  }
  while (stage.panes.length > count) {
    const pane = stage.panes.pop();
    forgetDraws(stage, pane);
    pane.frame.remove();
  }
  panes.dataset.maps = count;
}

// Its name, and the colours of what it shows: what jumps has that of what it is, a model, the exact map, or a baseline.
function dressPane(stage, pane) {
  const { base, title } = pane, colours = readPalette(stage.section);
  const palette = { ...colours, model: colours[base.mover] }, letter = letterOf(stage, pane);
  base.images = Object.fromEntries(
    COUNTS.filter((n) => base.arrays[`model_${n}`])
      .map((n) => [n, densityImage(base.arrays[`model_${n}`], palette.model)]),
  );
  pane.palette = palette;
  pane.image = base.arrays.density ? densityImage(base.arrays.density, palette.data) : null;
  const badge = document.createElement("b");
  badge.textContent = letter;
  pane.axes.textContent = base.axes.map((name, i) => `${"→↑"[i]} ${name}`).join("   ");
  title.hidden = !letter;
  title.replaceChildren(badge, base.title);
}

// What a map is called where there are several; nothing where it is alone.
const letterOf = ({ panes }, pane) => panes.length > 1 ? "AB"[panes.indexOf(pane)] : "";

// Whether the chosen N of a map is there to be drawn.
const drawable = ({ steps }, { message }) => message?.arrays[`states_${steps}`] !== undefined;

// The picture in words, after its name where there are several.
function describePane(stage, pane) {
  const { message } = pane, { steps } = stage, letter = letterOf(stage, pane);
  const words = message.drawing ? inWords(message, steps) : message.summaries[steps];
  return letter ? `${letter}, ${message.title}: ${words}` : words;
}

function paintPane(stage, pane) {
  if (!drawable(stage, pane)) return;
  const { message, palette } = pane, { steps, u } = stage;
  const selected = new Set(stage.pinned), own = ownIndex(stage, message);
  if (stage.hover !== null) selected.add(stage.hover);
  if (own !== null) selected.add(own);
  const shown = [...new Set([...Array(message.shown).keys(), ...selected])].sort((a, b) =>
    selected.has(a) - selected.has(b)
  );
  pane.view = drawScene(pane.canvas, message, steps, u, palette, pane.heads, {
    layers: stage.layers,
    selected: selected.size ? selected : null,
    shown,
    ground: null,
    compact: false,
  });
  drawStart(stage, pane);
  write(pane.readout, reading(stage, pane));
}

// Where the jumps of another N end.
function paintSmall(stage, pane, canvas, n) {
  const { message, palette } = pane, states = message.arrays[`states_${n}`];
  if (!states) return;
  const own = message.drawing ? message.ownIn[n] : ownIndex(stage, message);
  const shown = [...Array(Math.min(5, message.shown)).keys()];
  if (own !== null) shown.push(own);
  drawScene(canvas, message, n, 1, palette, new Float32Array(2 * states.shape[1]), {
    layers: stage.layers,
    selected: own === null ? null : new Set([own]),
    shown,
    ground: stage.layers.density ? pane.image : null,
    compact: true,
  });
}
