// Marks for the steps of a lesson. The arrow keys go from step to step unless the focus is on something that uses them;
// a button does not, so that after pressing one the arrows still work.
const places = new WeakMap();

function idle(event) {
  const target = event.composedPath()[0];
  return target === document.body ||
    (target.tagName === "BUTTON" && !target.closest("[role=radiogroup], [role=tablist], .handles"));
}

function go(place, step) {
  if (step < 1 || step > place.titles.length || step === place.step) return;
  place.tell("go", step);
}

function create(root) {
  const place = {
    list: root.querySelector("ol"),
    now: root.querySelector(".now"),
    titles: [],
    step: 0,
    lesson: null,
    tell: () => {},
  };
  const keys = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !idle(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // the stage would take a jump too
    go(place, place.step + by);
  };
  window.addEventListener("keydown", keys, { capture: true });
  place.destroy = () => {
    window.removeEventListener("keydown", keys, { capture: true });
    places.delete(root);
  };
  return place;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let place = places.get(parentElement);
  if (!place) places.set(parentElement, place = create(parentElement));
  const moved = place.lesson !== null && (place.lesson !== data.lesson || place.step !== data.step);
  Object.assign(place, { titles: data.titles, step: data.step, lesson: data.lesson, tell: setTriggerValue });
  while (place.list.children.length > data.titles.length) place.list.lastChild.remove();
  while (place.list.children.length < data.titles.length) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    item.append(button);
    place.list.append(item);
  }
  data.titles.forEach((title, i) => {
    const button = place.list.children[i].firstChild;
    button.title = title;
    button.setAttribute("aria-label", `Step ${i + 1}: ${title}`);
    button.classList.toggle("past", i + 1 < data.step);
    button.toggleAttribute("aria-current", false);
    if (i + 1 === data.step) button.setAttribute("aria-current", "step");
    button.onclick = () => go(place, i + 1);
  });
  if (moved) {
    place.now.textContent = `Step ${data.step} of ${data.titles.length}: ${data.titles[data.step - 1]}`;
    document.querySelector("[data-testid=stMain]")?.scrollTo({ top: 0 });
  }
  window.lessonSteps = { lesson: data.lesson, step: data.step, steps: data.titles.length };
  return place.destroy;
}
