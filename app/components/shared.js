// What both canvases share: reading a message of buffer.py, colours, and device-pixel-sharp canvases.

const POSITION_RANGE = 12000;

// The header, with `header.arrays[name]` = { values, shape }; 16-bit positions come back as floats in data units.
function readMessage(bytes) {
  const copy = bytes.slice().buffer; // own memory: the message may sit at an odd address, and typed arrays need alignment
  const length = new DataView(copy).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(copy, 4, length)));
  const kinds = { int16: Int16Array, uint8: Uint8Array, float32: Float32Array };
  for (const [name, [dtype, offset, shape]] of Object.entries(header.arrays)) {
    const count = shape.reduce((a, b) => a * b, 1);
    let values = new kinds[dtype](copy, 4 + length + offset, count);
    if (dtype === "int16") values = Float32Array.from(values, v => (v * header.extent) / POSITION_RANGE);
    header.arrays[name] = { values, shape };
  }
  return header;
}

// Colours carry one meaning each; Streamlit hands over the theme, the chart palette is (data, model, exact, error, …).
function readPalette(host) {
  const style = getComputedStyle(host);
  const read = name => style.getPropertyValue(name).trim();
  const [data, model, exact, error, baseline] = read("--st-chart-categorical-colors").split(",").map(c => c.trim());
  const paper = read("--st-background-color"), ink = read("--st-text-color");
  const [r, g, b] = paper.match(/[0-9a-f]{2}/gi)?.map(h => parseInt(h, 16)) ?? [255, 255, 255];
  const dark = r + g + b < 384;
  return { data, model, exact, error, baseline, ink, dark, panel: dark ? "#151920" : "#FFFFFF" };
}

// Sizes the canvas to its box in device pixels; returns { context, width, height } in CSS pixels.
function sharpen(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

// World to screen: the square [-extent, extent]² fits the shorter side, y points up.
function camera(width, height, extent) {
  const scale = Math.min(width, height) / (2 * extent);
  return { scale, x: v => width / 2 + v * scale, y: v => height / 2 - v * scale };
}

// The density as a small image with the data colour at the given opacity; the browser smooths it when scaling up.
function densityImage({ values, shape }, colour) {
  const [rows, columns] = shape;
  const image = document.createElement("canvas");
  image.width = columns; image.height = rows;
  const context = image.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const [r, g, b] = colour.match(/[0-9a-f]{2}/gi).map(h => parseInt(h, 16));
  for (let i = 0; i < rows * columns; i++) pixels.data.set([r, g, b, values[i]], 4 * i);
  context.putImageData(pixels, 0, 0);
  return image;
}

function drawDensity(context, image, view, extent) {
  context.imageSmoothingQuality = "high";
  const side = 2 * extent * view.scale;
  context.drawImage(image, view.x(-extent), view.y(extent), side, side);
}

// All dots as zero-length strokes with round caps: 2,000 of them cost a quarter of a millisecond, a tenth of what
// stamping images costs. Several batches, so that where dots lie on each other the colour deepens.
function drawDots(context, xy, count, view, radius, colour, opacity) {
  const batch = Math.ceil(count / 5) || 1;
  context.strokeStyle = colour;
  context.globalAlpha = opacity;
  context.lineWidth = 2 * radius;
  context.lineCap = "round";
  for (let start = 0; start < count; start += batch) {
    context.beginPath();
    for (let i = start; i < Math.min(count, start + batch); i++) {
      const x = view.x(xy[2 * i]), y = view.y(xy[2 * i + 1]);
      context.moveTo(x, y);
      context.lineTo(x, y + 0.01);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}
