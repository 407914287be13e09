"""Runs the flow map's JavaScript without a browser."""

import json
import subprocess
from pathlib import Path
from typing import Any

import deno

from app.components import flow_map

_MESSAGE = Path(flow_map.__file__).parents[1] / "message.js"
_PRELUDE = """
const given = JSON.parse(new TextDecoder().decode(Deno.readFileSync(Deno.args[0])));
const bundle = (name) => readMessage(Uint8Array.from(atob(given[name]), (c) => c.charCodeAt(0)));
const listed = (_, value) => ArrayBuffer.isView(value) ? [...value] : value;
const answer = (value) => {
  Deno.writeTextFileSync(Deno.args[1], JSON.stringify(value, listed));
  Deno.exit(); // an open port would keep it alive
};
"""


def run(script: str, folder: Path, **given: Any) -> Any:
    """What `script` hands to `answer`, as JSON; `given` are its data, among them bundles in base64."""
    code = [_MESSAGE.read_text(encoding="utf-8"), flow_map.FLOW_MAP_WORKER, _PRELUDE, script]
    (folder / "script.js").write_text("\n".join(code), encoding="utf-8")
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    command = [
        deno.find_deno_bin(),
        "run",
        "--quiet",
        "--no-remote",
        f"--allow-read={folder}",
        f"--allow-write={folder}",
    ]
    done = subprocess.run(
        [*command, "script.js", folder / "given.json", folder / "answer.json"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "answer.json").read_text())
