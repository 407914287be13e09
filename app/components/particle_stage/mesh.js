// What the map does to space: a mesh of noise points carried along by the model, whose lines show the warp and whose
// turned cells show folds; the exact velocity; and the model's density against the data's.

const GAUSS = 1 / (2 * Math.PI);
const COARSE = 2; // every second line of the mesh is drawn
const NEGLIGIBLE = 2e-6; // noise mass of a cell too small to be worth a colour

// The mesh at progress u, written into message.meshNow; null where there is none (renoised draws, d ≠ 2).
function meshAt(message, steps, u) {
  const mesh = message.arrays[`mesh_${steps}`];
  if (!mesh) return null;
  const [, side] = mesh.shape, size = 2 * side * side;
  if (message.meshNow?.length !== size) message.meshNow = new Float32Array(size);
  const { k, w } = locate(message.progress[steps], u);
  const from = k * size, to = from + size, share = ease(w), out = message.meshNow, values = mesh.values;
  for (let i = 0; i < size; i++) out[i] = values[from + i] + share * (values[to + i] - values[from + i]);
  return { side, points: out };
}

// Calls visit(row, column, index of the first corner, signed area) for every cell; corners run counter-clockwise.
function eachCell({ side, points }, visit) {
  for (let row = 0; row + 1 < side; row++) {
    for (let column = 0; column + 1 < side; column++) {
      const a = 2 * (row * side + column), b = a + 2, d = a + 2 * side, c = d + 2;
      const area = ((points[c] - points[a]) * (points[d + 1] - points[b + 1]) -
        (points[d] - points[b]) * (points[c + 1] - points[a + 1])) / 2;
      visit(row, column, a, area);
    }
  }
}

function cellPath(context, view, { side, points }, a) {
  const corners = [a, a + 2, a + 2 * side + 2, a + 2 * side];
  context.beginPath();
  corners.forEach((at, j) => {
    const x = view.x(points[at]), y = view.y(points[at + 1]);
    if (j) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
}

// The noise mass of each cell: the density of N(0, I) at its middle, times its area before it was moved.
function cellMass(message, side) {
  if (message.cellMass) return message.cellMass;
  const h = 2 * message.reach / (side - 1), mass = new Float32Array((side - 1) ** 2);
  for (let row = 0; row + 1 < side; row++) {
    for (let column = 0; column + 1 < side; column++) {
      const x = -message.reach + (column + 0.5) * h, y = -message.reach + (row + 0.5) * h;
      mass[row * (side - 1) + column] = GAUSS * Math.exp(-(x * x + y * y) / 2) * h * h;
    }
  }
  return (message.cellMass = mass);
}

function drawMeshLines(context, view, { side, points }, palette, strength) {
  context.strokeStyle = palette.model;
  context.globalAlpha = strength;
  context.lineWidth = 0.8;
  context.beginPath();
  for (let i = 0; i < side; i += COARSE) {
    for (let j = 0; j < side; j++) {
      const at = 2 * (i * side + j);
      if (j) context.lineTo(view.x(points[at]), view.y(points[at + 1]));
      else context.moveTo(view.x(points[at]), view.y(points[at + 1]));
    }
    for (let j = 0; j < side; j++) {
      const at = 2 * (j * side + i);
      if (j) context.lineTo(view.x(points[at]), view.y(points[at + 1]));
      else context.moveTo(view.x(points[at]), view.y(points[at + 1]));
    }
  }
  context.stroke();
  context.globalAlpha = 1;
}

// Cells that the map has turned over: there several noises land on one point.
function drawFolds(context, view, mesh, message, palette) {
  const mass = cellMass(message, mesh.side);
  context.fillStyle = palette.error;
  context.globalAlpha = 0.5;
  eachCell(mesh, (row, column, a, area) => {
    if (area >= 0 || mass[row * (mesh.side - 1) + column] < NEGLIGIBLE) return;
    cellPath(context, view, mesh, a);
    context.fill();
  });
  context.globalAlpha = 1;
}

// Particles in the colour of log q/p where the jumps end: the model's where it puts too much, the data's where too little.
// Sixteen shades, so that a shade is one stroke.
function drawRatios(context, view, heads, message, steps, palette) {
  const { values } = message.arrays[`ratio_${steps}`];
  const shades = Array.from({ length: 16 }, () => []);
  values.forEach((value, i) => shades[Math.min(15, value >> 4)].push(i));
  context.lineCap = "round";
  shades.forEach((members, shade) => {
    const share = (shade - 7.5) / 7.5;
    context.strokeStyle = share > 0 ? palette.model : palette.data;
    context.globalAlpha = 0.12 + 0.88 * Math.abs(share);
    context.lineWidth = 3 + 3.4 * Math.abs(share);
    context.beginPath();
    for (const i of members) {
      const x = view.x(heads[2 * i]), y = view.y(heads[2 * i + 1]);
      context.moveTo(x, y);
      context.lineTo(x, y + 0.01);
    }
    context.stroke();
  });
  context.globalAlpha = 1;
}

// The exact flow as short strokes, each as long as a particle moves in a small stretch of the time axis.
function drawVelocity(context, view, message, u, palette) {
  const field = message.arrays.field;
  if (!field) return;
  const [levels, side] = field.shape, level = Math.round(u * (levels - 1)), step = 2 * message.extent / side;
  context.strokeStyle = palette.exact;
  context.fillStyle = palette.exact;
  context.globalAlpha = 0.7;
  context.lineWidth = 1.3;
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const at = 2 * ((level * side + row) * side + column);
      const x = -message.extent + (column + 0.5) * step, y = -message.extent + (row + 0.5) * step;
      // A jump goes back in time, so the arrow points against dx/dθ; long ones are cut to the spacing.
      let [dx, dy] = [-field.values[at] * message.fieldScale, -field.values[at + 1] * message.fieldScale];
      const length = Math.hypot(dx, dy), most = 0.9 * step;
      if (length > most) {
        dx *= most / length;
        dy *= most / length;
      }
      context.beginPath();
      context.moveTo(view.x(x), view.y(y));
      context.lineTo(view.x(x + dx), view.y(y + dy));
      context.stroke();
      context.beginPath();
      context.arc(view.x(x + dx), view.y(y + dy), 1.7, 0, 2 * Math.PI);
      context.fill();
    }
  }
  context.globalAlpha = 1;
}

// What lies under the particles: the model's density where the jumps end, the flow, the mesh.
function drawMap(context, view, message, steps, u, palette, look) {
  const { layers, compact } = look;
  const density = message.images?.[steps];
  if (layers.model && density) drawDensity(context, density, view, message.extent);
  if (layers.velocity && !compact) drawVelocity(context, view, message, u, palette);
  const mesh = layers.mesh || layers.folds ? meshAt(message, steps, u) : null;
  if (mesh && layers.folds) drawFolds(context, view, mesh, message, palette);
  if (mesh && layers.mesh) drawMeshLines(context, view, mesh, palette, compact ? 0.3 : 0.55);
}
