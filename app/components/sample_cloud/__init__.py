"""Samples over the target's density, on a canvas that keeps its place while the samples change."""

from pathlib import Path

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack, quantise

__all__ = ["cloud_message", "sample_cloud"]

_HERE = Path(__file__).parent

_COMPONENT = component(
    "sample_cloud",
    html=(_HERE / "cloud.html").read_text(encoding="utf-8") + "\n",
    css=(_HERE / "cloud.css").read_text(encoding="utf-8"),
    js="\n".join(path.read_text(encoding="utf-8") for path in (_HERE.parent / "shared.js", _HERE / "cloud.js")),
)


def cloud_message(
    *, name: str, extent: float, density: np.ndarray, data: np.ndarray, samples: np.ndarray | None, words: str
) -> bytes:
    """The binary message: density (uint8 opacity), data and model samples [n, 2] in the target's units."""
    arrays = {"density": density}
    legend = [("data", "data")]
    if samples is None:
        arrays["data"] = quantise(data, extent)
    else:
        arrays["samples"] = quantise(samples, extent)
        legend.append((words, "model"))
    summary = (
        f"{len(data if samples is None else samples):,} samples of {'the data' if samples is None else 'the model'}."
    )
    return pack({"key": name, "extent": extent, "legend": legend, "summary": summary}, arrays)


def sample_cloud(message: bytes, *, key: str) -> None:
    """Show a :func:`cloud_message`."""
    _COMPONENT(key=key, data=message)
