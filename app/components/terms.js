// Words that are explained where they stand. Each .term carries its sentence as data-words, and shows it to a pointer, to
// the keyboard and to a finger, in one box for all of the document. Escape, or a look elsewhere, closes it.

const TERM_STYLE = `
button.term, button.term:hover { font: inherit; color: inherit; letter-spacing: inherit; line-height: inherit; text-align: inherit;
  background: none; border: 0; margin: 0; padding: 0; min-height: 0; display: inline; position: relative; cursor: help; border-radius: 3px;
  text-decoration: underline dotted 1px color-mix(in srgb, currentColor 60%, transparent); text-underline-offset: 3px; }
button.term:hover { text-decoration-style: solid; }
button.term:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
@media (pointer: coarse) { button.term::after { content: ""; position: absolute; inset: -11px 50%; width: max(100% + 16px, 40px); translate: -50%; } }
.term-words { position: fixed; z-index: 999999; max-width: min(340px, calc(100vw - 24px)); padding: 9px 13px; border-radius: 8px;
  font-size: 0.867rem; font-weight: 400; line-height: 1.45; text-wrap: pretty; box-shadow: 0 6px 24px rgb(0 0 0 / 18%);
  color: light-dark(#1D2129, #E6E8EC); background: light-dark(#FFFFFF, #1A1E25); border: 1px solid light-dark(#E2E2DE, #3A404B); }
.term-words[hidden] { display: none; }`;

function explainTerms() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(TERM_STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const box = document.createElement("div");
  Object.assign(box, { id: "term-words", className: "term-words", hidden: true });
  box.setAttribute("role", "tooltip");
  document.body.append(box);
  let shown = null;

  const hide = () => {
    shown?.removeAttribute("aria-describedby");
    shown = null;
    box.hidden = true;
  };
  const show = (term) => {
    if (shown !== term) hide();
    shown = term;
    box.textContent = term.dataset.words;
    box.hidden = false;
    term.setAttribute("aria-describedby", box.id);
    place();
  };
  const place = () => {
    if (!shown?.isConnected) return hide();
    const at = shown.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = box;
    const left = Math.min(innerWidth - width - 12, Math.max(12, at.x + at.width / 2 - width / 2));
    const above = at.y - height - 8;
    box.style.left = `${left}px`;
    box.style.top = `${above > 4 ? above : at.bottom + 8}px`;
  };
  const termAt = ({ target }) => target.closest?.(".term") ?? null;

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return; // a finger's click follows
    const term = termAt(event);
    if (term) show(term);
    else if (shown && !box.contains(event.target) && shown !== document.activeElement) hide();
  });
  document.addEventListener("focusin", (event) => termAt(event) && show(termAt(event)));
  document.addEventListener("focusout", (event) => termAt(event) === shown && hide());
  document.addEventListener("click", (event) => {
    const term = termAt(event);
    if (term) show(term);
    else if (!box.contains(event.target)) hide();
  });
  document.addEventListener("scroll", place, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !shown) return;
    hide();
    event.stopPropagation(); // it closes this, and nothing behind it
  }, { capture: true });
  return { show, hide };
}
