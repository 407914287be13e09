// The stage as it stands, as a PNG: the density below, the particles above, on the panel's own colour; several maps side by
// side under their names.

function savePicture(stage) {
  if (!stage.message) return;
  const { panes, message, steps } = stage, { palette, canvas } = stage.lead;
  const ratio = canvas.width / canvas.clientWidth, head = panes.length > 1 ? 34 * ratio : 0;
  const picture = document.createElement("canvas");
  picture.width = panes.length * canvas.width;
  picture.height = head + canvas.height;
  const context = picture.getContext("2d");
  context.fillStyle = palette.panel;
  context.fillRect(0, 0, picture.width, picture.height);
  context.font = `600 ${15 * ratio}px sans-serif`;
  context.fillStyle = palette.ink;
  for (const [i, pane] of panes.entries()) {
    const left = i * canvas.width, name = `${letterOf(stage, pane)}   ${pane.base.title}`;
    if (head) context.fillText(name, left + 14 * ratio, 24 * ratio, canvas.width - 28 * ratio);
    for (const layer of [pane.ground, pane.canvas]) context.drawImage(layer, left, head, canvas.width, canvas.height);
  }
  picture.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `stage-${message.key.split("/")[0]}-${steps}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}
