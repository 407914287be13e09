// The stage as it stands, as a PNG: the density below, the particles above, on the panel's own colour.

function savePicture(stage) {
  const { canvas, ground, palette, message, steps } = stage;
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height;
  const context = picture.getContext("2d");
  context.fillStyle = palette.panel;
  context.fillRect(0, 0, picture.width, picture.height);
  for (const layer of [ground, canvas]) context.drawImage(layer, 0, 0, picture.width, picture.height);
  picture.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `stage-${message.key.split("/")[0]}-${steps}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}
