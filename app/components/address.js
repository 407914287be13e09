// The part of the address that the browser keeps by itself, without a run of the script: hidden controls, presenter mode,
// the layers of the stage and its place in time. Streamlit writes the rest, always with history.pushState; here that
// becomes a new entry only where another page or another run is on show, and the browser's part is put back in.

const OTHER_VIEW = ["run", "runs", "with", "question", "target", "table", "objective", "lesson", "step"]; // a change of these is a new entry
const OTHER_KIND = ["drawing"]; // and so is that these come or go; another line on the sheet is not
const address = (window.consistencyLabAddress ??= takeAddress());

function takeAddress() {
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const held = new Map(); // name → text, or null where it must not stand in the address
  const listeners = new Set();
  let arriving = true; // what a page writes before anybody did anything on it belongs to the entry of its arrival

  const whole = (to) => {
    const url = new URL(to ?? "", location.href);
    for (const [name, text] of held) {
      if (text === null) url.searchParams.delete(name);
      else url.searchParams.set(name, text);
    }
    // commas, semicolons and colons are allowed in a query, and the link is read by people
    url.search = url.searchParams.toString().replace(/%2C/gi, ",").replace(/%3B/gi, ";").replace(/%3A/gi, ":");
    return url;
  };
  const go = (url, asNew) => {
    if (url.href === location.href) return;
    try {
      (asNew ? push : replace)({}, "", url.href);
    } catch { /* the stage in a saved file has no address of its own */ }
  };
  history.pushState = (_, _title, to) => {
    const url = whole(to), now = new URL(location.href);
    const page = url.pathname !== now.pathname;
    const view = OTHER_VIEW.some((name) => url.searchParams.get(name) !== now.searchParams.get(name)) ||
      OTHER_KIND.some((name) => url.searchParams.has(name) !== now.searchParams.has(name));
    go(url, page || (view && !arriving));
    if (page) arriving = true;
  };
  history.replaceState = (_, _title, to) => go(whole(to), false);
  const busy = () => {
    arriving = false;
  };
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, busy, true);
  window.addEventListener("popstate", () => {
    for (const name of held.keys()) held.set(name, read(name));
    for (const listen of listeners) listen();
  }, true);

  const read = (name) => new URL(location.href).searchParams.get(name);
  return {
    read,
    // Keep these from now on, { name: text or null }; `asNew`: as a new entry of the history.
    keep(changes, { asNew = false } = {}) {
      for (const [name, text] of Object.entries(changes)) held.set(name, text);
      go(whole(location.href), asNew);
    },
    // No longer: the page they belonged to has gone.
    release(names) {
      const url = new URL(location.href);
      for (const name of names) {
        held.delete(name);
        url.searchParams.delete(name);
      }
      go(whole(url.href), false);
    },
    // Called after back and forward, until the returned function is.
    onReturn(listen) {
      listeners.add(listen);
      return () => listeners.delete(listen);
    },
    get link() {
      return whole(location.href).href;
    },
  };
}
