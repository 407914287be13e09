// A table that Streamlit paints stands in the page for screen readers too, cell by cell, where a picture would be read as
// its address. Here it is called what it is.

function namePictures() {
  let waiting = false;
  const look = () => {
    waiting = false;
    for (const cell of document.querySelectorAll('[data-testid="stDataFrame"] canvas [role="gridcell"]')) {
      if (cell.firstChild?.nodeValue?.startsWith("data:image")) cell.firstChild.nodeValue = "picture";
    }
  };
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(look);
  };
  new MutationObserver(soon).observe(document.body, { childList: true, subtree: true, characterData: true });
  return true;
}
