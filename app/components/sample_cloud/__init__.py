"""Samples over the target's density, on a canvas that keeps its place while the samples change."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack, quantise

_HERE = Path(__file__).parent

_COMPONENT = component(
    "sample_cloud",
    html=(_HERE / "cloud.html").read_text(encoding="utf-8") + "\n",
    css=(_HERE / "cloud.css").read_text(encoding="utf-8"),
    js="\n".join(
        path.read_text(encoding="utf-8")
        for path in (_HERE.parent / "message.js", _HERE.parent / "shared.js", _HERE / "space.js", _HERE / "cloud.js")
    ),
)


def cloud_message(
    *,
    name: str,
    extent: float,
    density: np.ndarray | None,
    data: np.ndarray,
    samples: np.ndarray | None,
    words: str,
    axes: Sequence[str] = (),
) -> bytes:
    """The binary message.

    Args:
        name: names the content; dots glide only while it stays.
        extent: half the side of the square (or cube) shown, in the target's units.
        density: of the data, uint8 opacity, top row first; None in space.
        data: points of the data, [n, 2], or [n, 3] for a cloud that turns.
        samples: of the model, alike; None before there are any.
        words: what the samples are.
        axes: names of the axes, where they need one.
    """
    space = data.shape[1] == 3
    arrays = {} if density is None else {"density": density}
    legend = [("data", "data", "dots" if samples is None else "rings" if space else "shade")]
    if samples is None or space:  # in space the data stay in sight, since there is no density behind the samples
        arrays["data"] = quantise(data, extent)
    if samples is not None:
        arrays["samples"] = quantise(samples, extent)
        legend.append((words, "model", "dots"))
    of = "the data" if samples is None else "the model"
    summary = f"{len(data if samples is None else samples):,} samples of {of}."
    if axes:
        summary += f" The axes are {', '.join(axes)}."
    if space:
        summary += " Arrow keys turn it."
    header = {"key": name, "extent": extent, "legend": legend, "summary": summary, "axes": list(axes), "space": space}
    return pack(header, arrays)


def sample_cloud(message: bytes, *, key: str) -> None:
    """Show a :func:`cloud_message`."""
    _COMPONENT(key=key, data=message)
