"""A flow map that is evaluated in the browser: what of it travels there, and the code that draws from it.

The code is plain JavaScript in two parts. `FLOW_MAP_CODE` belongs to the page; it starts a worker from the rest:
`network.js` evaluates the network by `network.wasm`, compiled from `network.c`, or without it; `map.js` makes the jump
of it; `noise.js`, `grids.js` and `chain.js` do what the engine's streams, grids and chains do, number for number.
`webgpu.js` draws whole chains by `jump.wgsl`, where `trial.js` found that to agree and to be faster.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack, unpack
from cmcore.experts import SHARPNESS
from cmcore.model import FlowMap

_HERE = Path(__file__).parent
_read = lambda *names: "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)  # noqa: E731
_NETWORK = base64.b64encode((_HERE / "network.wasm").read_bytes()).decode()

MOST_WEIGHTS = 500_000
"""Of a map that is drawn from in the browser: 2 MB, and .1 s for a jump of 2,000 points."""
FLOW_MAP_WORKER = f'const NETWORK_WASM = "{_NETWORK}";\nconst JUMP_WGSL = {json.dumps(_read("jump.wgsl"))};\n' + _read(
    "network.js", "grids.js", "map.js", "noise.js", "chain.js", "webgpu.js", "trial.js", "worker.js"
)
"""What draws, apart from the page."""
FLOW_MAP_CODE = f"const FLOW_MAP_WORKER = {json.dumps(FLOW_MAP_WORKER)};\n" + _read("client.js")
"""What the page has of it."""
_COMPONENT = component(
    "flow_map",
    js="\n".join(
        [
            (_HERE.parent / "message.js").read_text(encoding="utf-8"),
            FLOW_MAP_CODE,
            "export default ({ data }) => addFlowMap(readMessage(data));",
        ]
    ),
)


def flow_map(bundled: bytes, number: int = 0) -> None:
    """Hand a bundle to the stages of the page, the one of this number; draws nothing, and travels once."""
    _COMPONENT(key=f"flow_map_{number}", data=bundled)


def evaluated(model: object) -> FlowMap | None:
    """The map of it that the browser has code for, or None.

    It has code for single flow maps of the engine with at most `MOST_WEIGHTS` weights, and for no other function.
    """
    f = getattr(model, "flow_map", model)
    if not isinstance(f, FlowMap) or f.members or sum(w.numel() for w in f.parameters()) > MOST_WEIGHTS:
        return None
    return f


def bundle(model: object, name: str = "") -> bytes | None:
    """The weights of a map with what is needed to evaluate it; None where it is not :func:`evaluated`.

    Stages ask for it by its `name`, the hash of it unless another is given: a later bundle of that name takes the place
    of this one.

    The header names the form of the network (`widths`, `spaceFrequencies`, `timeFrequencies`, `secondTime`, `experts`,
    `sharpness`), the `preconditioning`, d (`dim`), T and δ (`horizon`, `delta`), and the `hash` of all of it;
    `weight_k` and `bias_k` are the layers, in single precision. The process is always the Ornstein–Uhlenbeck process.
    """
    if (f := evaluated(model)) is None:
        return None
    arrays: dict[str, np.ndarray] = {}
    for k, layer in enumerate(f.network.layers):
        for part in ("weight", "bias"):
            arrays[f"{part}_{k}"] = getattr(layer, part).detach().cpu().float().numpy()
    header: dict[str, Any] = {
        "dim": f.dim,
        "widths": [f.features.width, *(len(arrays[f"bias_{k}"]) for k in range(len(f.network.layers)))],
        "spaceFrequencies": f.config.space_frequencies,
        "timeFrequencies": f.config.time_frequencies,
        "secondTime": f.config.second_time,
        "experts": f.experts.count,
        "sharpness": SHARPNESS,
        "preconditioning": f.config.preconditioning or "trig",
        "horizon": getattr(model, "horizon", 3.0),
        "delta": getattr(model, "delta", 0.0),
    }
    digest = hashlib.sha256(pack(header, arrays)).hexdigest()
    return pack({"name": name or digest[:16], "hash": digest[:16], **header}, arrays)


def hash_of(bundled: bytes) -> str:
    """The hash that names a bundle."""
    return unpack(bundled)[0]["hash"]
