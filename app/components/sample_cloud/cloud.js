// Samples over the target's density. New samples come from the same noise, so each dot glides from where it was to where
// the model, a little better trained, puts it now.

const GLIDE = 450; // milliseconds
const APART = 30; // milliseconds between two frames of a glide: samples come all the time while a run wants the cores
const clouds = new WeakMap();

function paintCloud(cloud, share) {
  const { message, canvas, from, to } = cloud;
  const { context, width, height } = sharpen(canvas);
  if (!width || !height) return;
  const view = camera(width, height, message.extent);
  context.clearRect(0, 0, width, height);
  const now = to && (from ? to.map((v, i) => from[i] + share * (v - from[i])) : to);
  if (message.space) paintSpace(cloud, context, view, now);
  else paintPlane(cloud, context, view, now);
  const counter = (window.sampleCloud ??= { frames: 0 });
  const size = message.arrays.samples?.shape[0] ?? 0;
  Object.assign(counter, {
    frames: counter.frames + 1,
    samples: size,
    key: message.key,
    space: message.space,
    turn: cloud.turn,
  });
}

function paintPlane({ message, palette }, context, view, samples) {
  const { data } = message.arrays;
  if (data && !samples) drawDots(context, data.values, data.shape[0], view, 1.7, palette.data, 0.5);
  if (samples) drawDots(context, samples, samples.length / 2, view, 1.9, palette.model, 0.5);
}

// Painted where it changed; a message every moment brings the same density again and again.
function paintGround(cloud, palette) {
  const { density } = cloud.message.arrays, name = `${cloud.message.key}|${palette.data}`;
  if (name === cloud.grounded) return;
  cloud.grounded = name;
  cloud.image = density ? densityImage(density, palette.data) : null;
  drawGround(cloud.ground, cloud.image, cloud.message.extent);
}

function glide(cloud) {
  cancelAnimationFrame(cloud.request);
  const began = performance.now();
  let painted = 0;
  const tick = (now) => {
    const share = cloud.from && !cloud.calm ? Math.min(1, (now - began) / GLIDE) : 1;
    if (share === 1 || now - painted >= APART) {
      paintCloud(cloud, share);
      painted = now;
    }
    if (share < 1 || turns(cloud)) cloud.request = requestAnimationFrame(tick);
  };
  cloud.request = requestAnimationFrame(tick);
}

export default function (component) {
  const { data, parentElement } = component;
  let cloud = clouds.get(parentElement);
  if (!cloud) {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    cloud = {
      figure: parentElement.querySelector(".cloud"),
      canvas: parentElement.querySelector(".samples"),
      ground: parentElement.querySelector(".ground"),
      calm,
      ended: new AbortController(),
    };
    wireTurning(cloud);
    cloud.size = new ResizeObserver(() => {
      drawGround(cloud.ground, cloud.image, cloud.message.extent);
      paintCloud(cloud, 1);
    });
    cloud.destroy = () => {
      cloud.ended.abort();
      cloud.size.disconnect();
      cancelAnimationFrame(cloud.request);
      clouds.delete(parentElement);
    };
    clouds.set(parentElement, cloud);
  }
  const message = readMessage(data), palette = readPalette(cloud.figure);
  const same = message.key === cloud.message?.key && message.arrays.samples?.shape[0] * 2 === cloud.to?.length &&
    message.space === cloud.message.space;
  cloud.from = same ? cloud.to : null;
  cloud.to = message.arrays.samples?.values ?? null;
  Object.assign(cloud, { message, palette });
  paintGround(cloud, palette);
  cloud.figure.classList.toggle("dark", palette.dark);
  cloud.canvas.setAttribute("aria-label", message.summary);
  cloud.canvas.classList.toggle("space", message.space);
  if (message.space) cloud.canvas.tabIndex = 0;
  else cloud.canvas.removeAttribute("tabindex");
  cloud.figure.querySelector(".axes").textContent = message.space
    ? "drag to turn"
    : message.axes.map((name, i) => `${"→↑"[i]} ${name}`).join("   ");
  cloud.figure.querySelector(".legend").replaceChildren(...message.legend.map(([words, meaning, mark]) => {
    const entry = document.createElement("span");
    entry.className = mark;
    entry.textContent = words;
    entry.style.setProperty("--dot", palette[meaning]);
    return entry;
  }));
  cloud.size.observe(cloud.canvas);
  glide(cloud);
  return cloud.destroy;
}
