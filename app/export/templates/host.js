// What Streamlit does for the stage, done here without a server: the message, a place to draw, and ears for N.

const held = document.getElementById("scene").textContent.trim();
const message = Uint8Array.from(atob(held), (letter) => letter.charCodeAt(0));
const place = document.getElementById("stage").attachShadow({ mode: "open" });
place.append(document.getElementById("inside").content.cloneNode(true));
place.querySelector(".hint").textContent = "Click a path to pin it · space, ← →, 1 2 4 8, L";
place.querySelector(".hint").title = "Space plays, ← → step, 1 2 4 8 set N, L opens the layers";

// The card, the dots and the rows of one N.
function show(steps) {
  for (const card of document.querySelectorAll("#cards > [data-n]")) card.hidden = Number(card.dataset.n) !== steps;
  for (const one of document.querySelectorAll("svg [data-n], tr[data-n]")) {
    one.classList.toggle("now", Number(one.dataset.n) === steps);
  }
}

for (const dot of document.querySelectorAll("svg .dot")) {
  const tell = () => {
    document.getElementById("point").textContent = dot.getAttribute("aria-label");
  };
  dot.addEventListener("pointerenter", tell);
  dot.addEventListener("focus", tell);
}

const draw = () =>
  mount({
    data: message,
    parentElement: place,
    setStateValue: (name, value) => {
      if (name === "choice") show(value.steps);
    },
  });
draw();
explainTerms();
show(readMessage(message).steps);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
