// A training watched once more. Each dot is the same noise in every frame; between two frames it is drawn on the straight
// line from one to the other. Two films share one clock.

const LENGTH = 9000; // milliseconds of a film
const films = new WeakMap();

function frameAt(pane, values, count, step) {
  const { steps } = pane;
  let k = steps.length - 1;
  while (k > 0 && steps[k] > step) k--;
  const from = values.subarray(2 * count * k, 2 * count * (k + 1));
  if (k === steps.length - 1 || step <= steps[0]) return from;
  const to = values.subarray(2 * count * (k + 1), 2 * count * (k + 2));
  const last = steps[k + 1], share = (placeOf(step, last) - placeOf(steps[k], last)) / (1 - placeOf(steps[k], last));
  return from.map((value, i) => value + share * (to[i] - value));
}

function paintFilm(film) {
  const { message, palette } = film;
  const step = Math.round(stepAt(film.place, film.last));
  message.panes.forEach((pane, i) => {
    const { samples, strip } = film.shown[i];
    const { context, width, height } = sharpen(samples);
    const { values, shape } = message.arrays[`frames${i}`];
    context.clearRect(0, 0, width, height);
    if (width && height) {
      const dots = frameAt(pane, values, shape[1], step);
      drawDots(context, dots, shape[1], camera(width, height, message.extent), 1.9, palette.model, 0.6);
    }
    paintStrip(strip, pane.lines, step, film.last, palette);
  });
  film.now.textContent = `step ${step.toLocaleString("en")}`;
  film.when.value = String(Math.round(1000 * film.place));
  film.when.setAttribute("aria-valuetext", film.now.textContent);
  window.trainingFilm = { step, panes: message.panes.length, playing: film.playing, last: film.last };
}

function paintGrounds(film) {
  film.message.panes.forEach((_, i) => {
    const image = densityImage(film.message.arrays[`density${i}`], film.palette.data);
    drawGround(film.shown[i].ground, image, film.message.extent);
  });
}

function setPlaying(film, playing) {
  film.playing = playing;
  film.play.textContent = playing ? "Pause" : "Play";
  cancelAnimationFrame(film.request);
  if (!playing) return paintFilm(film);
  if (film.place >= 1) film.place = 0;
  let before = performance.now();
  const tick = (now) => {
    film.place = Math.min(1, film.place + (now - before) / LENGTH);
    before = now;
    paintFilm(film);
    if (film.place < 1) film.request = requestAnimationFrame(tick);
    else setPlaying(film, false);
  };
  film.request = requestAnimationFrame(tick);
}

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

function makePane(panes, { title, axes }, jumps) {
  const pane = element("figure", "pane", panes);
  element("figcaption", "", pane).textContent = title;
  const picture = element("div", "picture", pane);
  const ground = element("canvas", "ground", picture), samples = element("canvas", "samples", picture);
  ground.setAttribute("aria-hidden", "true");
  samples.setAttribute("role", "img");
  samples.setAttribute("aria-label", `${title}: samples in ${jumps} jumps over the density of the data.`);
  element("div", "axes", picture).textContent = axes.map((name, i) => `${"→↑"[i]} ${name}`).join("   ");
  const strip = element("canvas", "strip", pane);
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", "The values of the training at this step, each on a scale of its own.");
  return { ground, samples, strip };
}

function makeFilm(parent) {
  const root = parent.querySelector(".film");
  const film = { root, place: 1, playing: false, shown: [], key: null };
  for (const name of ["panes", "play", "when", "now"]) film[name] = root.querySelector(`.${name}`);
  film.play.addEventListener("click", () => setPlaying(film, !film.playing));
  film.when.addEventListener("input", () => {
    film.place = film.when.valueAsNumber / 1000;
    setPlaying(film, false);
  });
  film.size = new ResizeObserver(() => {
    paintGrounds(film);
    paintFilm(film);
  });
  film.destroy = () => {
    cancelAnimationFrame(film.request);
    film.size.disconnect();
    films.delete(parent);
  };
  films.set(parent, film);
  return film;
}

export default function (component) {
  const { data, parentElement } = component;
  const film = films.get(parentElement) ?? makeFilm(parentElement);
  film.message = readMessage(data);
  film.palette = readPalette(film.root);
  film.root.classList.toggle("dark", film.palette.dark);
  film.last = Math.max(...film.message.panes.map((pane) => pane.steps.at(-1)));
  film.panes.replaceChildren();
  film.shown = film.message.panes.map((pane) => makePane(film.panes, pane, film.message.jumps));
  film.size.disconnect();
  film.size.observe(film.panes);
  return film.destroy;
}
