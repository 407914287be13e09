// What stands above every page: sharing with hidden controls, presenter mode, and the keys for both. All of it lives in
// the browser and in its part of the address; the server is not asked.

const frames = new WeakMap();
const root = document.documentElement;
const NAME = /^[a-z_]{1,24}$/;

const hiddenNow = () => (address.read("hide") ?? "").split(",").filter((name) => NAME.test(name)).slice(0, 40);
const presentingNow = () => address.read("present") === "1";

function createFrame(parent) {
  const find = (selector) => parent.querySelector(selector);
  const frame = { parent, box: find(".frame"), data: null, hidden: new Set(hiddenNow()) };
  for (const name of ["share", "present", "sharing", "controls", "address", "copy", "told", "help", "close"]) {
    frame[name] = find(`.${name}`);
  }
  frame.asPresented = find(".as-presented");
  frame.share.onclick = () => open(frame, frame.sharing.hidden);
  frame.present.onclick = () => present(frame, true);
  frame.copy.onclick = () => copy(frame);
  frame.asPresented.onchange = () => showLink(frame);
  frame.address.onfocus = () => frame.address.select();
  frame.close.onclick = () => frame.help.close();
  const keys = (event) => key(frame, event);
  const outside = (event) => {
    if (!frame.sharing.hidden && !event.composedPath().includes(frame.box)) open(frame, false);
  };
  const back = address.onReturn(() => {
    frame.hidden = new Set(hiddenNow());
    obey(frame);
  });
  document.addEventListener("keydown", keys);
  document.addEventListener("pointerdown", outside);
  window.consistencyLabTerms ??= explainTerms();
  window.consistencyLabPictures ??= namePictures();
  frame.style = document.head.appendChild(document.createElement("style"));
  frame.destroy = () => {
    document.removeEventListener("keydown", keys);
    document.removeEventListener("pointerdown", outside);
    back();
    frame.style.remove();
    frames.delete(parent);
  };
  address.keep({ hide: frame.hidden.size ? [...frame.hidden].join() : null, present: presentingNow() ? "1" : null });
  return frame;
}

// Everything follows from the address: attributes on the page for its style sheet and the stage, and rules that hide.
function obey(frame) {
  const presenting = presentingNow();
  root.toggleAttribute("data-presenting", presenting);
  root.dataset.hidden = [...frame.hidden].join(" ");
  frame.box.classList.toggle("presenting-now", presenting);
  const selectors = Object.values(frame.data.controls).flat().filter(({ name, selector }) =>
    selector && frame.hidden.has(name)
  ).map(({ selector }) => selector);
  frame.style.textContent = selectors.length ? `${selectors.join(", ")} { display: none !important; }` : "";
  if (presenting) open(frame, false);
}

// On a phone the navigation covers the page, and Streamlit leaves it there when another page has been chosen.
function closeNavigation() {
  if (window.innerWidth > 768) return;
  document.querySelector(
    '[data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarCollapseButton"] button',
  )?.click();
}

function present(frame, on) {
  address.keep({ present: on ? "1" : null }, { asNew: on });
  obey(frame);
  if (on) document.activeElement?.blur(); // so that the keys reach the stage
  window.dispatchEvent(new Event("resize"));
}

function open(frame, wanted) {
  frame.sharing.hidden = !wanted;
  frame.share.setAttribute("aria-expanded", wanted);
  if (!wanted) return;
  frame.told.textContent = "";
  frame.controls.replaceChildren(
    ...(frame.data.controls[frame.data.page] ?? []).concat(frame.data.controls.all).map(({ name, label }) => {
      const line = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !frame.hidden.has(name);
      box.onchange = () => {
        if (box.checked) frame.hidden.delete(name);
        else frame.hidden.add(name);
        address.keep({ hide: frame.hidden.size ? [...frame.hidden].join() : null });
        obey(frame);
        showLink(frame);
      };
      line.append(box, label);
      return line;
    }),
  );
  frame.asPresented.checked = presentingNow();
  showLink(frame);
}

function linkOf(frame) {
  const url = new URL(address.link);
  if (frame.asPresented.checked) url.searchParams.set("present", "1");
  else url.searchParams.delete("present");
  return url.href.replace(/%2C/gi, ",").replace(/%3B/gi, ";").replace(/%3A/gi, ":");
}

function showLink(frame) {
  frame.address.value = linkOf(frame);
}

async function copy(frame) {
  showLink(frame);
  try {
    await navigator.clipboard.writeText(frame.address.value);
    frame.told.textContent = "Copied.";
  } catch {
    frame.address.select(); // without permission, or on plain http: the person copies
    frame.told.textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with Ctrl + C.";
  }
}

function help(frame) {
  const list = frame.parent.querySelector("dl");
  list.replaceChildren(...frame.data.keys.flatMap(([keys, words]) => {
    const [term, told] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = keys;
    told.textContent = words;
    return [term, told];
  }));
  frame.help.showModal();
}

function key(frame, event) {
  const target = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || frame.help.open) return;
  if (event.key === "Escape" && !frame.sharing.hidden) {
    open(frame, false);
    frame.share.focus();
    return;
  }
  if (target !== document.body && target.tagName !== "CANVAS") return; // someone is typing, or a control has the keys
  if (event.key === "?") {
    event.preventDefault();
    help(frame);
  } else if (event.key === "p") present(frame, !presentingNow());
  else if (event.key === "Escape" && presentingNow()) present(frame, false);
}

// The pictures that Python colours follow when the system goes from light to dark while the page is open.
function followScheme({ data, setTriggerValue }, frame) {
  const paper = getComputedStyle(frame.box).getPropertyValue("--st-background-color").match(/[0-9a-f]{2}/gi);
  if (!paper) return; // a frame that has left the document has no style
  const [r, g, b] = paper.map((h) => parseInt(h, 16));
  const scheme = r + g + b < 384 ? "dark" : "light";
  if (data.scheme && scheme !== data.scheme && scheme !== frame.scheme) setTriggerValue("scheme", scheme);
  frame.scheme = scheme;
}

export default function (component) {
  const { data, parentElement } = component;
  let frame = frames.get(parentElement);
  if (!frame) frames.set(parentElement, frame = createFrame(parentElement));
  const moved = frame.data && frame.data.page !== data.page;
  frame.data = data;
  followScheme(component, frame);
  obey(frame);
  if (moved) {
    open(frame, false);
    closeNavigation();
  }
  return frame.destroy;
}
