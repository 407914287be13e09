// The pages of the static site: choices, stages, charts that can be pointed at, and lessons. Nothing here asks a server:
// what is not in a page comes as a script of the site, since pages opened from a file may load nothing else.

(() => {
  const arrived = new Map(); // what scripts of data brought, by their path

  const pageRoot = () => document.body.dataset.root;

  // Scripts of data call this: what they bring is known by their path.
  window.labData = (...values) => {
    arrived.set(document.currentScript.getAttribute("src").slice(pageRoot().length), values);
  };

  // The values of a script of data, loaded if it is not here yet.
  function data(path) {
    if (arrived.has(path)) return Promise.resolve(arrived.get(path));
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = pageRoot() + path;
      script.onload = () => resolve(arrived.get(path));
      script.onerror = () => reject(new Error(`${path} is not there`));
      document.head.append(script);
    });
  }

  // ---- views: what is chosen in a part of a page, and what of it is shown --------------------------------------------
  // Choices are made by buttons (data-set, data-value) and by fields (data-input). What is marked with data-when is shown
  // while all of its choices hold, and data-otherwise where nothing beside it is.
  function openView(element) {
    const view = { element, chosen: JSON.parse(element.dataset.view), moved: new Set(), listeners: [] };
    if ("address" in element.dataset && location.search) {
      takeAddress(view);
      keep(view);
    }
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-set]");
      if (button && button.closest("[data-view]") === element) choose(view, button.dataset.set, button.dataset.value);
    });
    element.addEventListener("input", ({ target }) => {
      const { input } = target.dataset;
      if (input && target.value !== "" && target.checkValidity()) choose(view, input, target.value);
    });
    show(view);
    return view;
  }

  const fieldsOf = ({ element, chosen }, name) =>
    [...element.querySelectorAll(`[data-input="${name}"]`)].filter(({ dataset }) =>
      !dataset.of || dataset.of === chosen.sampler
    );

  // The choices that the address asks for, as far as they are offered.
  function takeAddress(view) {
    const asked = new URLSearchParams(location.search);
    for (const name of Object.keys(view.chosen)) {
      const value = asked.get(name);
      if (value === null) continue;
      const button = view.element.querySelector(`[data-set="${name}"][data-value="${CSS.escape(value)}"]`);
      if (button || fieldsOf(view, name).some((field) => accepts(field, value))) set(view, name, value);
    }
  }

  function accepts(field, value) {
    const before = field.value;
    field.value = value;
    const taken = field.value === value && field.checkValidity();
    field.value = before;
    return taken;
  }

  function choose(view, name, value) {
    if (view.chosen[name] === value) return;
    set(view, name, value);
    show(view);
    if ("address" in view.element.dataset) keep(view);
    for (const listen of view.listeners) listen(name);
  }

  // A sampler brings the δ that it begins with; a grid that is named takes the place of moved times.
  function set(view, name, value) {
    view.chosen[name] = value;
    if (name === "sampler") {
      for (const field of fieldsOf(view, "delta")) view.chosen.delta = field.dataset.first;
    }
    if (name === "grid") view.moved.clear();
    if ("times" in view.chosen) view.chosen.times = view.moved.has(view.chosen.n) ? "moved" : "named";
  }

  function show(view) {
    const { element, chosen } = view;
    for (const part of element.querySelectorAll("[data-when]")) {
      part.hidden = Object.entries(JSON.parse(part.dataset.when)).some(([name, value]) => chosen[name] !== value);
    }
    for (const part of element.querySelectorAll("[data-otherwise]")) {
      part.hidden = part.parentNode.querySelector(":scope > [data-when]:not([hidden])") !== null;
    }
    for (const button of element.querySelectorAll("[data-set]")) {
      button.setAttribute("aria-pressed", chosen[button.dataset.set] === button.dataset.value);
    }
    for (const field of element.querySelectorAll("[data-input]")) {
      const { input, of } = field.dataset;
      if ((!of || of === chosen.sampler) && field.value !== chosen[input]) field.value = chosen[input];
    }
    for (const place of element.querySelectorAll("[data-shows]")) place.textContent = chosen[place.dataset.shows];
    if (chosen.n) { for (const chart of element.querySelectorAll(".chart")) markChart(chart, chosen.n); }
  }

  // The choices in the address, where it can be changed (that of a file cannot), and in the link to the lab.
  const IN_ADDRESS = (name) => name !== "times";
  function keep({ element, chosen }) {
    const here = new URL(location.href), lab = document.querySelector(".in-lab"), there = new URL(lab.href);
    for (const [name, value] of Object.entries(chosen)) {
      if (!IN_ADDRESS(name)) continue;
      here.searchParams.set(name, value);
      there.searchParams.set(name, value);
    }
    if ("inLab" in element.dataset) lab.href = there.href;
    try {
      history.replaceState(null, "", here.href);
    } catch { /* a file */ }
  }

  // ---- charts --------------------------------------------------------------------------------------------------------
  // The marked point of a chart goes to another N: to where the curve that it stands on has its dot.
  function markChart(chart, n) {
    for (const picture of chart.querySelectorAll(":scope > svg")) {
      const chosen = picture.querySelector(".chosen .dot, .chosen path"), line = picture.querySelector(".chosen-line");
      if (!line) continue;
      const dots = [...picture.querySelectorAll(`.trace .dot[data-x="${n}"]`)];
      const dot = dots.findLast((one) =>
        one.parentNode.querySelector("polyline")?.getAttribute("stroke") === "var(--model)"
      );
      if (chosen) chosen.parentNode.style.display = dot ? "" : "none";
      if (!dot) continue;
      if (chosen) chosen.setAttribute("transform", dot.getAttribute("transform"));
      const x = dot.getAttribute("transform").match(/[\d.]+/)[0];
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
  }

  let tip = null;
  function point(event) {
    const dot = event.target.closest?.(".dot[data-words]");
    if (!dot) {
      tip?.remove();
      tip = null;
      return;
    }
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "tip";
      tip.setAttribute("role", "status");
      document.body.append(tip);
    }
    tip.textContent = dot.dataset.words;
    const box = dot.getBoundingClientRect(), width = tip.offsetWidth, height = tip.offsetHeight;
    const left = Math.min(innerWidth - width - 8, Math.max(8, box.x + box.width / 2 - width / 2));
    const above = box.y - height - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
  }

  // ---- stages --------------------------------------------------------------------------------------------------------
  const HINTS = {
    moved: "Drag for a start of your own · space, ← →, 1 2 4 8, R, L, S",
    still: "Click a path to pin it · space, ← →, 1 2 4 8, L",
  };
  let sheet = null;

  const lengthOf = (message) => new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  const headerOf = (message) => JSON.parse(new TextDecoder().decode(message.subarray(4, 4 + lengthOf(message))));

  // A message with other words in its header.
  function retitled(message, changes) {
    const length = lengthOf(message), header = headerOf(message);
    const text = new TextEncoder().encode(JSON.stringify({ ...header, ...changes }));
    const padded = Math.ceil(text.length / 4) * 4;
    const made = new Uint8Array(4 + padded + message.length - 4 - length).fill(32);
    new DataView(made.buffer).setUint32(0, padded, true);
    made.set(text, 4);
    made.set(message.subarray(4 + length), 4 + padded);
    return made;
  }

  function bytesOf(text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i); // a callback for each takes ten times as long
    return bytes;
  }
  const messages = new Map(), weighed = new Set();

  // The message of a scene, once the weights that it is drawn from are here.
  async function messageOf(scripts) {
    const path = scripts.at(-1);
    const [[text], ...weights] = await Promise.all([path, ...scripts.slice(0, -1)].map(data));
    for (const [i, [each]] of weights.entries()) {
      if (!weighed.has(scripts[i])) window.labStage.addMap(bytesOf(each));
      weighed.add(scripts[i]);
    }
    if (!messages.has(path)) messages.set(path, bytesOf(text));
    return messages.get(path);
  }

  function openStage(place, view) {
    const scenes = JSON.parse(place.dataset.scenes), labels = JSON.parse(place.dataset.labels);
    const shadow = place.attachShadow({ mode: "open" });
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(window.labStage.style);
    }
    shadow.adoptedStyleSheets = [sheet];
    shadow.innerHTML = window.labStage.html;
    let latest = 0, mounted = null;

    const draw = async () => {
      const turn = ++latest, { chosen } = view;
      obey(shadow, chosen);
      const scripts = scenes[chosen.sampler ?? ""], message = await messageOf(scripts);
      if (turn !== latest) return; // another choice came meanwhile
      const beside = labels[[chosen.sampler, chosen.from].filter(Boolean).join(" ")] ?? {};
      const changes = { steps: Number(chosen.n), labels: beside, mover: place.dataset.mover };
      if (place.dataset.visible !== undefined) changes.visible = place.dataset.visible.split(",").filter(Boolean);
      const asked = JSON.stringify([scripts, changes, matchMedia("(prefers-color-scheme: dark)").matches]);
      if (asked !== mounted) {
        const setStateValue = (name, value) => hear(view, name, value);
        window.labStage.mount({ data: retitled(message, changes), parentElement: shadow, setStateValue });
      }
      if (mounted === null) {
        shadow.querySelector(".hint").textContent = HINTS[headerOf(message).movable ? "moved" : "still"];
        obey(shadow, chosen);
      }
      mounted = asked;
    };
    draw();
    view.listeners.push(draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  // The draw that is chosen, for a stage that draws itself.
  function obey(shadow, { sampler, grid, eta, delta, seed }) {
    if (grid === undefined) return;
    const detail = { sampler, grid, share: Number(eta), delta: Number(delta), seed: Number(seed) };
    shadow.dispatchEvent(new CustomEvent("draw", { detail }));
  }

  // What is done on the stage itself.
  function hear(view, name, value) {
    if (name === "choice") {
      choose(view, "n", String(value.steps));
      const { sampler } = value;
      if (view.element.querySelector(`[data-set="sampler"][data-value="${sampler}"]`)) choose(view, "sampler", sampler);
    }
    if (name === "times" && "times" in view.chosen) {
      if (value.times) view.moved.add(String(value.steps));
      else view.moved.delete(String(value.steps));
      choose(view, "times", view.moved.has(view.chosen.n) ? "moved" : "named");
    }
  }

  // A stage that cannot be seen yet is opened when it is.
  function openStages(within, views) {
    for (const place of within.querySelectorAll(".stage-place")) {
      if (place.shadowRoot || place.closest("[hidden]")) continue;
      openStage(place, views.find((view) => view.element === place.closest("[data-view]")));
    }
  }

  // ---- the claims ----------------------------------------------------------------------------------------------------
  function openClaims(view) {
    const paths = JSON.parse(view.element.dataset.claims), place = view.element.querySelector(".claim-place");
    const named = () => `${view.chosen.data} ${view.chosen.d} ${view.chosen.error}`;
    let shown = named();
    const draw = async () => {
      const asked = named();
      const [content] = await data(paths[asked]);
      if (asked !== named() || asked === shown) return;
      place.innerHTML = content;
      shown = asked;
    };
    view.listeners.push(draw);
    const { search } = location;
    if (search.length > 1) {
      shown = "";
      draw();
    }
  }

  // ---- lessons -------------------------------------------------------------------------------------------------------
  const SEEN = "consistency-lab-lessons";

  function seenSteps() {
    try {
      return JSON.parse(localStorage.getItem(SEEN)) ?? {};
    } catch {
      return {}; // nothing is kept here
    }
  }

  function keepSeen(lesson, step) {
    const seen = seenSteps();
    seen[lesson] = [...new Set([...(seen[lesson] ?? []), step])];
    try {
      localStorage.setItem(SEEN, JSON.stringify(seen));
    } catch { /* nothing is kept here */ }
  }

  function openGallery() {
    const seen = seenSteps();
    for (const card of document.querySelectorAll(".lesson-card")) {
      const count = seen[card.dataset.lesson]?.length ?? 0, steps = Number(card.dataset.steps);
      if (count) {
        card.querySelector(".seen").textContent = count >= steps ? " · done" : ` · ${count} of ${steps} steps seen`;
      }
    }
  }

  function openLesson(bench, views) {
    keepSeen(bench.dataset.lesson, Number(bench.dataset.step));
    const form = bench.querySelector("form.lesson-question");
    if (form) {
      form.addEventListener("change", () => {
        form.querySelector("button").disabled = !form.querySelector("input:checked");
      });
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        reveal(bench, form, Number(form.querySelector("input:checked").value));
        openStages(bench, views);
      });
      form.reset(); // a browser that comes back keeps the guess without its button
    }
    addEventListener("keydown", turnPage, { capture: true });
  }

  function reveal(bench, form, guess) {
    const right = Number(form.dataset.right), answered = bench.querySelector(".answered");
    for (const choice of answered.querySelectorAll("[data-choice]")) {
      const own = Number(choice.dataset.choice), marks = [];
      if (own === right) marks.push("right");
      if (own === guess) marks.push("your guess");
      choice.querySelector("small").textContent = marks.join(", ");
    }
    form.hidden = true;
    answered.hidden = false;
    answered.querySelector(".lesson-verdict").textContent = guess === right ? "Right." : "Not this time.";
    for (const part of bench.querySelectorAll(".before-answer")) part.hidden = true;
    for (const part of bench.querySelectorAll(".after-answer")) part.hidden = false;
    bench.querySelector("[rel=next]")?.classList.add("primary");
    bench.querySelector("[rel=next], .lesson-turn .primary")?.focus({ preventScroll: true });
  }

  // ← → go from step to step unless the focus is on something that uses them; a button or a link does not.
  function turnPage(event) {
    const to = { ArrowRight: "next", ArrowLeft: "prev" }[event.key], target = event.composedPath()[0];
    if (!to || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (target !== document.body && target.id !== "content" && !/^(BUTTON|A)$/.test(target.tagName)) return;
    if (target.closest?.(".handles, .legend, .more")) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // the stage would take a jump too
    document.querySelector(`[rel=${to}]`)?.click();
  }

  // ---- a page --------------------------------------------------------------------------------------------------------
  document.addEventListener("DOMContentLoaded", () => {
    const views = [...document.querySelectorAll("[data-view]")].map(openView);
    openStages(document, views);
    for (const view of views) if (view.element.dataset.claims) openClaims(view);
    const bench = document.querySelector(".lessonbench");
    if (bench) openLesson(bench, views);
    openGallery();
    explainTerms();
    document.addEventListener("pointerover", point);
  });
})();
