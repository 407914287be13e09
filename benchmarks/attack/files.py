"""Hostile files and links: small ones that stand for much, or that break what reads them."""

import base64
import io
import json
import zipfile
import zlib
from decimal import Decimal
from pathlib import Path

__all__ = [
    "BOUNDARY",
    "CANARY",
    "HOSTILE",
    "HOSTILE_NAMES",
    "PART",
    "csv_of_hidden_columns",
    "decimals",
    "deep_zip",
    "long_history_zip",
    "padded_zip",
    "patched_footer",
    "random_mixtures",
    "rotated_product",
    "run_zip",
    "surrogate_zip",
    "table_of_formulas",
]

ASSETS = Path(__file__).parents[2] / "assets" / "pretrained"
BOUNDARY = "boundary"
PART = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
"""How the body of an upload begins."""
CANARY = "canary_of_the_attack"
"""A name that no program of the lab has: where it stands as code, a visitor's name became code."""
HOSTILE = f'x"); {CANARY}(); print("'
"""A name that closes the text it stands in."""
HOSTILE_NAMES = (HOSTILE, f"data\\x1\n{CANARY}()", f"'''\n{CANARY}()\n'''", f"<script>{CANARY}()</script>")


# ---- runs -------------------------------------------------------------------------------------------------------
def run_zip(*, run: str = "moons", text: str = "", **changes: object) -> bytes:
    """A shipped run as a zip, with entries of its run.json replaced; `text` replaces "@" in it, as it stands."""
    folder = ASSETS / run
    about = {**json.loads((folder / "run.json").read_text()), **changes}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        content = json.dumps(about)
        file.writestr("run.json", content.replace('"@"', text) if text else content)
        for weights in folder.glob("*.safetensors"):
            file.writestr(weights.name, weights.read_bytes())
    return out.getvalue()


def padded_zip(megabytes: int) -> bytes:
    """Parameters of an objective full of empty lists: three bytes of text, and 64 of memory, each."""
    lists = "[" + ",".join(["[]"] * (megabytes * 2**20 // 3)) + "]"
    about = json.loads((ASSETS / "moons" / "run.json").read_text())
    about["config"]["objective_parameters"]["trajectories"] = "@"
    return run_zip(config=about["config"], text=lists)


def long_history_zip(entries: int) -> bytes:
    """A history of that many entries."""
    return run_zip(history="@", text="[" + ",".join(["[50,1,1]"] * entries) + "]")


def deep_zip(levels: int) -> bytes:
    """JSON so deep that readers which call themselves end."""
    return run_zip(events="@", text="[" * levels + "]" * levels)


def surrogate_zip() -> bytes:
    """Half a character, which JSON can write and no file can hold."""
    return run_zip(device="\ud800")


# ---- links ------------------------------------------------------------------------------------------------------
def link_code(target: dict) -> str:
    """A training in the code of a link."""
    text = json.dumps({"target": target, "training": {"steps": 100}}, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def rotated_product(dim: int) -> str:
    return link_code({"name": "product_of_mixtures", "parameters": {"dim": dim, "rotated": True}})


def random_mixtures(dim: int, count: int) -> str:
    """Several runs of one link."""
    parameters = {"dim": dim, "components": 1}
    return ",".join(
        f"other{i}:{link_code({'name': 'random_mixture', 'parameters': {**parameters, 'seed': i}})}"
        for i in range(count)
    )


# ---- tables -----------------------------------------------------------------------------------------------------
def csv_of_hidden_columns(columns: int) -> bytes:
    """A header whose first cell has a line break in quotes, and the other columns after it."""
    head = '"a\nb",' + ",".join(f"c{i}" for i in range(1, columns))
    return "\n".join([head, *[",".join(["1"] * columns)] * 2]).encode()


def table_of_formulas() -> bytes:
    """Two honest columns of which the names are code and a formula."""
    head = f'"{HOSTILE.replace(chr(34), chr(34) * 2)}","=cmd|\' /C calc\'!A0"'
    rows = [f"{(i * 37 % 101) / 50:.3f},{(i * i * 13 % 97) / 50:.3f}" for i in range(400)]
    return "\n".join([head, *rows]).encode()


def patched_footer(rows: int, claimed: int) -> bytes:
    """Parquet of so many rows whose footer claims fewer."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    column = pa.array(np.zeros(rows, dtype=np.float64))
    pq.write_table(pa.table({"a": column, "b": column}), out, compression="zstd", row_group_size=rows)
    content = out.getvalue()
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8]
    patched = footer.replace(_number(rows), _number(claimed), 1)  # the first is that of the whole file
    return content[: -8 - length] + patched + len(patched).to_bytes(4, "little") + b"PAR1"


def decimals(rows: int) -> bytes:
    """Parquet with a column of decimals that are all alike: a few bytes in the file, an object each in Python."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    column = pa.repeat(pa.scalar(Decimal("1.500"), pa.decimal128(30, 3)), rows)
    pq.write_table(pa.table({"a": column, "b": column}), out, compression="zstd", row_group_size=rows)
    return out.getvalue()


def _number(value: int) -> bytes:
    """An integer as the footer of Parquet writes it: zigzag, seven bits a byte."""
    left, out = value * 2, bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)
    return bytes(out)
