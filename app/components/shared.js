// What both canvases share: colours, and device-pixel-sharp canvases.

// Colours carry one meaning each; Streamlit hands over the theme, the chart palette is (data, model, exact, error, …).
// A host that has left the document while it was being drawn has no style: it keeps the palette read before.
// Before the first is read, all is ink on white.
const INK = "#1F2328";
let lastPalette = {
  data: INK,
  model: INK,
  exact: INK,
  error: INK,
  baseline: INK,
  ink: INK,
  dark: false,
  panel: "#FFFFFF",
};

function readPalette(host) {
  const style = getComputedStyle(host);
  if (!style.getPropertyValue("--st-chart-categorical-colors")) return lastPalette;
  const read = (name) => style.getPropertyValue(name).trim();
  const [data, model, exact, error, baseline] = read("--st-chart-categorical-colors").split(",").map((c) => c.trim());
  const paper = read("--st-background-color"), ink = read("--st-text-color");
  const [r, g, b] = paper.match(/[0-9a-f]{2}/gi)?.map((h) => parseInt(h, 16)) ?? [255, 255, 255];
  const dark = r + g + b < 384;
  lastPalette = { data, model, exact, error, baseline, ink, dark, panel: dark ? "#151920" : "#FFFFFF" };
  return lastPalette;
}

// Sizes the canvas to its box in device pixels; returns { context, width, height } in CSS pixels.
function sharpen(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

// World to screen: the square [-extent, extent]² fits the shorter side, y points up.
function camera(width, height, extent) {
  const scale = Math.min(width, height) / (2 * extent);
  return { scale, x: (v) => width / 2 + v * scale, y: (v) => height / 2 - v * scale };
}

// The density as a small image with the data colour at the given opacity; the browser smooths it when scaling up.
function densityImage({ values, shape }, colour) {
  const [rows, columns] = shape;
  const image = document.createElement("canvas");
  image.width = columns;
  image.height = rows;
  const context = image.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const [r, g, b] = colour.match(/[0-9a-f]{2}/gi).map((h) => parseInt(h, 16));
  const words = new Uint32Array(pixels.data.buffer), ink = (b << 16) | (g << 8) | r; // little-endian RGBA
  for (let i = 0; i < words.length; i++) words[i] = (values[i] << 24) | ink;
  context.putImageData(pixels, 0, 0);
  return image;
}

function drawDensity(context, image, view, extent) {
  context.imageSmoothingQuality = "high";
  const side = 2 * extent * view.scale;
  context.drawImage(image, view.x(-extent), view.y(extent), side, side);
}

// The density alone, on a canvas of its own below what moves: scaling it up takes longer than all the dots.
function drawGround(canvas, image, extent) {
  const { context, width, height } = sharpen(canvas);
  context.clearRect(0, 0, width, height);
  if (image) drawDensity(context, image, camera(width, height, extent), extent);
}

// Dots are blended into a bitmap by hand and laid on the canvas as one image: without a graphics card a stroke of 2,000
// round dots takes a frame and 10,000 take seven, this a millisecond. Where dots lie on each other the colour deepens.
const FINEST = 4; // a dot sits at one of 4 × 4 places within a pixel, so that slow ones do not tremble
const bitmaps = new WeakMap();
const stamps = new Map();

function drawDots(context, xy, count, view, radius, colour, opacity, hole = 0) {
  const { width, height } = context.canvas;
  if (!width || !height) return;
  const bitmap = bitmapFor(context.canvas), { pixels } = bitmap;
  const ratio = context.getTransform().a || 1;
  const places = stampFor(radius * ratio, opacity, width, hole * ratio), { reach } = places;
  const [r, g, b] = colour.match(/[0-9a-f]{2}/gi).map((h) => parseInt(h, 16));
  const ink = (b << 16) | (g << 8) | r; // little-endian RGBA
  pixels.fill(0);
  const [x0, y0, scale] = [view.x(0) * ratio, view.y(0) * ratio, view.scale * ratio];
  for (let i = 0; i < count; i++) {
    const x = x0 + xy[2 * i] * scale, y = y0 - xy[2 * i + 1] * scale;
    const column = Math.floor(x), row = Math.floor(y);
    if (column < reach || row < reach || column >= width - reach || row >= height - reach) continue;
    const { offsets, covers } = places[((y - row) * FINEST | 0) * FINEST + ((x - column) * FINEST | 0)];
    const at = row * width + column;
    for (let j = 0; j < offsets.length; j++) {
      const alpha = pixels[at + offsets[j]] >>> 24;
      pixels[at + offsets[j]] = ((alpha + ((255 - alpha) * covers[j] + 127) / 255) << 24) | ink;
    }
  }
  bitmap.context.putImageData(bitmap.image, 0, 0);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(bitmap.canvas, 0, 0);
  context.restore();
}

function bitmapFor(canvas) {
  const known = bitmaps.get(canvas);
  if (known?.canvas.width === canvas.width && known.canvas.height === canvas.height) return known;
  const own = document.createElement("canvas");
  own.width = canvas.width;
  own.height = canvas.height;
  const context = own.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(own.width, own.height);
  const made = { canvas: own, context, image, pixels: new Uint32Array(image.data.buffer) };
  bitmaps.set(canvas, made);
  return made;
}

// A disc, or a ring around a hole, at each of the places: which pixels around it are covered, and how much of 255.
function stampFor(radius, opacity, width, hole) {
  const key = `${radius.toFixed(2)}/${opacity}/${width}/${hole.toFixed(2)}`;
  if (stamps.has(key)) return stamps.get(key);
  const reach = Math.ceil(radius + 1), made = [];
  for (let place = 0; place < FINEST * FINEST; place++) {
    const cx = (place % FINEST + 0.5) / FINEST, cy = (Math.floor(place / FINEST) + 0.5) / FINEST;
    const offsets = [], covers = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const away = Math.hypot(dx + 0.5 - cx, dy + 0.5 - cy);
        const inside = Math.min(radius + 0.5 - away, hole ? away + 0.5 - hole : 1);
        const cover = Math.round(255 * opacity * Math.min(1, Math.max(0, inside)));
        if (cover) {
          offsets.push(dy * width + dx);
          covers.push(cover);
        }
      }
    }
    made.push({ offsets: Int32Array.from(offsets), covers: Uint8Array.from(covers) });
  }
  made.reach = reach;
  if (stamps.size > 40) stamps.clear();
  stamps.set(key, made);
  return made;
}
