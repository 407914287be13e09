// Samples over the target's density. New samples come from the same noise, so each dot glides from where it was to where
// the model, a little better trained, puts it now.

const GLIDE = 350; // milliseconds
const clouds = new WeakMap();

function paintCloud(cloud, share) {
  const { message, canvas, palette, from, to } = cloud;
  const { context, width, height } = sharpen(canvas);
  if (!width || !height) return;
  const view = camera(width, height, message.extent);
  context.clearRect(0, 0, width, height);
  if (cloud.image) drawDensity(context, cloud.image, view, message.extent);
  const { data } = message.arrays;
  if (data && !to) drawDots(context, data.values, data.shape[0], view, 1.7, palette.data, 0.5);
  if (to) {
    const now = from ? to.map((v, i) => from[i] + share * (v - from[i])) : to;
    drawDots(context, now, now.length / 2, view, 1.9, palette.model, 0.5);
  }
  const counter = (window.sampleCloud ??= { frames: 0 });
  Object.assign(counter, { frames: counter.frames + 1, samples: to ? to.length / 2 : 0, key: message.key });
}

function glide(cloud) {
  cancelAnimationFrame(cloud.request);
  const began = performance.now();
  const tick = now => {
    const share = cloud.from && !cloud.calm ? Math.min(1, (now - began) / GLIDE) : 1;
    paintCloud(cloud, share);
    if (share < 1) cloud.request = requestAnimationFrame(tick);
  };
  cloud.request = requestAnimationFrame(tick);
}

export default function (component) {
  const { data, parentElement } = component;
  let cloud = clouds.get(parentElement);
  if (!cloud) {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    cloud = { figure: parentElement.querySelector(".cloud"), canvas: parentElement.querySelector("canvas"), calm };
    cloud.size = new ResizeObserver(() => paintCloud(cloud, 1));
    cloud.destroy = () => { cloud.size.disconnect(); cancelAnimationFrame(cloud.request); clouds.delete(parentElement); };
    clouds.set(parentElement, cloud);
  }
  const message = readMessage(data), palette = readPalette(cloud.figure);
  const same = message.key === cloud.message?.key && message.arrays.samples?.shape[0] * 2 === cloud.to?.length;
  cloud.from = same ? cloud.to : null;
  cloud.to = message.arrays.samples?.values ?? null;
  Object.assign(cloud, { message, palette, image: message.arrays.density ? densityImage(message.arrays.density, palette.data) : null });
  cloud.figure.classList.toggle("dark", palette.dark);
  cloud.canvas.setAttribute("aria-label", message.summary);
  cloud.figure.querySelector(".legend").replaceChildren(...message.legend.map(([words, meaning]) => {
    const entry = document.createElement("span");
    entry.textContent = words;
    entry.style.setProperty("--dot", palette[meaning]);
    return entry;
  }));
  cloud.size.observe(cloud.canvas);
  glide(cloud);
  return cloud.destroy;
}
