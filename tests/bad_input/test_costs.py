"""Doors that are no tables, under inputs made to cost much: each is a sentence, or right and within what a visitor may
cost: half a second of the processor and 50 MB."""

import base64
import hashlib
import io
import json
import random
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.hosting.limits import limits
from app.pages.lessons.reader import BadLesson, read_lesson
from app.pages.runs.ledger import MOST_BYTES, _check
from app.pages.train.sketch import checked_drawing, checked_strokes
from app.sharing.config_code import LONGEST, read_config
from cmcore.archive import pack, unpack
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.costs import BadTensors, size_of_law, tensor_shapes
from cmcore.model import FlowMap
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import parameters_of
from cmcore.store import BadRun, ReadLimits, from_zip, load, to_zip
from cmcore.streams import stream
from cmcore.targets import GALLERY, write_strokes
from tests.app.conftest import PATIENCE
from tests.bad_input.extremes import EXTREMES, Costs, as_json, at_extremes, nested

pytestmark = pytest.mark.slow
TRIES = 100
LESSONS = Path(__file__).parents[2] / "app" / "pages" / "lessons" / "content"


@pytest.fixture
def hosted(monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_HOSTED", "1")


@pytest.fixture(params=["at home", "hosted"])
def costs(request, monkeypatch):
    """A count of what the inputs of a test cost, on a server of one's own and on one for strangers."""
    monkeypatch.setenv("CONSISTENCY_LAB_HOSTED", str(int(request.param == "hosted")))
    yield (counted := Costs(request.node.name))
    counted.check()


# ---- codes and links --------------------------------------------------------------------------------------------
TRAINING = {
    "objective": "trajectory_regression", "objective_parameters": {"trajectories": 1_000, "levels": 9},
    "network": {"width": 8, "depth": 1, "space_frequencies": [2.0], "time_frequencies": [1.0], "second_time": True},
    "steps": 100, "seconds": 1.0, "batch": 64, "horizon": 3.0, "delta": 0.1, "optimizer": "muon", "learning_rate": 1e-3,
    "warmup": 10, "hold": 5, "earlier": [{"until": 5, "steps": 100}], "average": 0.9, "seed": 1,
}  # fmt: skip


def code_of(content: Any) -> str:
    packed = zlib.compress(as_json(content).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


@cache
def codes() -> tuple[str, ...]:
    return tuple(_codes())


def _codes() -> Iterator[str]:
    """A sound training of every toy, with a number of the toy, or anything, at its extreme."""
    for name, toy in GALLERY.items():
        for key in toy.parameters:
            for most in (8, 4_096, 1e-9, 1e9):
                yield code_of({"training": {"steps": 10}, "target": {"name": name, "parameters": {key: most}}})
    turned = {"dim": 4_096, "rotated": True}
    yield code_of({"training": {"steps": 10}, "target": {"name": "product_of_mixtures", "parameters": turned}})
    target = {"name": "random_mixture", "parameters": {"dim": 3, "components": 2}}
    yield from map(code_of, at_extremes({"training": TRAINING, "target": target}, TRIES))
    for name, kind in OBJECTIVES.items():
        own = {parameter.name: parameter.default for parameter in parameters_of(kind)}
        for content in at_extremes(own, 4):
            yield code_of({"training": {"steps": 10, "objective": name, "objective_parameters": content}})


def test_s2_no_code_costs_more_than_a_moment(costs):
    now = limits()
    for code in codes():
        read = costs(lambda code=code: read_config(code))
        if read:
            size = GALLERY[read[0].name].size(**read[0].parameters)
            assert size.dim <= now.dim
            assert size.numbers <= now.numbers


def read_links(page: str, links: list[dict[str, str]], door: str) -> None:
    """In a session: each link as if the session began with it."""
    import streamlit as st

    from tests.bad_input.extremes import Costs
    from tests.bad_input.test_whole_links import LINKS

    costs = Costs(door)
    for asked in links:
        for key in list(st.session_state):
            del st.session_state[key]
        st.query_params.from_dict(asked)

        def read(asked=asked):
            if problems := LINKS[page].open():
                raise ValueError(max(problems, key=len))

        costs(read)
    st.session_state["costs"] = costs


def links_with_codes(page: str) -> Iterator[dict[str, str]]:
    """Links that name runs of another session, with as many codes as there is room for."""
    chance, every = random.Random(page), [code for code in codes() if len(code) < LONGEST]
    for number in range(TRIES):
        if page in ("explore", "inside"):
            yield {"run": "elsewhere", "config": chance.choice(every)}
        else:
            some = {f"run{i}": chance.choice(every) for i in range(number % 9)}
            yield {"runs": ",".join(some), "config": ",".join(f"{run}:{code}" for run, code in some.items())}


def train_links() -> Iterator[dict[str, str]]:
    """Links to Train, with a part of the target or of the objective at its extreme, and several at once."""
    chance = random.Random(0)
    texts = [str(extreme)[:9_000] for extreme in EXTREMES if extreme != "\ud800"]
    for name, kind in OBJECTIVES.items():
        for parameter in chance.sample(parameters_of(kind), 3):
            yield {"objective": name, f"o.{parameter.name}": chance.choice(texts)}
        yield {"objective": name, **{f"o.{parameter.name}": chance.choice(texts) for parameter in parameters_of(kind)}}
    for name in GALLERY:
        for part in chance.sample(("dim", "view", "delta", "seed", "steps", "drawing"), 3):
            yield {"target": name, part: chance.choice(texts)}


@pytest.mark.parametrize("page", ["explore", "inside", "kl", "runs", "train"])
def test_s2_no_link_costs_more_than_a_moment(hosted, page):
    links = random.Random(0).sample(list(train_links()), TRIES) if page == "train" else list(links_with_codes(page))
    given = {"page": page, "links": links, "door": f"links to {page}"}
    at = AppTest.from_function(read_links, default_timeout=PATIENCE, kwargs=given).run()
    assert not at.exception
    at.session_state["costs"].check()


# ---- runs: zips, folders, checkpoints ---------------------------------------------------------------------------
def untrained(target: cm.Target, **network: int) -> cm.TrainedModel:
    config = TrainingConfig(network=NetworkConfig(**{"width": 8, "depth": 1, **network}), steps=1, delta=0.0)
    flow_map = FlowMap(target.dim, config.network, generator=stream(0, "weights")).requires_grad_(requires_grad=False)
    return cm.TrainedModel(flow_map, target, config, 1, 0.1, "finished", "CPU, 1 thread", history=((1, 0.5, 0.5),))


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[str, bytes]]:
    """The files of a run of a toy, of a hand-made mixture, and of a table."""
    rows = torch.randn(60, 2, generator=stream(0, "rows"), dtype=torch.float64)
    text = "a,b\n" + "\n".join(f"{x},{y}" for x, y in rows.tolist())
    targets = {
        "toy": cm.make_target("random_mixture", dim=3),
        "mixture": cm.GaussianMixture([0.3, 0.7], [[0.0, 1.0], [1.0, 0.0]], 0.04),
        "table": cm.read_table(text.encode()),
    }
    return {name: files_of(untrained(target)) for name, target in targets.items()}


def files_of(model: cm.TrainedModel) -> dict[str, bytes]:
    return dict(unpack(to_zip(model), largest=lambda _: 1 << 26))


def record_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    return json.loads(files["run.json"])


def records(files: Mapping[str, bytes], count: int, seed: int) -> Iterator[str]:
    """Its run.json with fields at their extremes."""
    record = record_of(files)
    yield from map(as_json, at_extremes(record, count, seed))


def long_records(files: Mapping[str, bytes]) -> Iterator[str]:
    """Its run.json with far too many of one thing in one of its lists."""
    record = record_of(files)
    for value in ("[1,1,1]", "[]", '""'):
        for size in (20_000, 500_000):
            many = f"[{','.join([value] * size)}]"
            for field in ("history", "spikes", "unknown"):
                yield f'{as_json({**record, field: 0})[:-1].replace(f""""{field}":0""", f""""{field}":{many}""")}}}'
            padded = as_json({**record, "config": {**record["config"], "objective_parameters": {"pad": 0}}})
            yield padded.replace('"pad":0', f'"pad":{many}')


def test_s3_no_zip_costs_more_than_a_moment(costs, runs):
    bounds = ReadLimits(MOST_BYTES, limits().reports, resumable=not limits().hosted, check=_check)

    def tried(content):
        return costs(lambda: from_zip(content, limits=bounds), BadRun)

    for seed, files in enumerate(runs.values()):
        assert tried(pack(files)) is not None
        for record in records(files, TRIES // 3, seed):
            tried(pack({**files, "run.json": record.encode()}))
    for record in long_records(runs["toy"]):
        tried(pack({**runs["toy"], "run.json": record.encode()}))
    assert tried(pack(files_of(untrained(cm.make_target("random_mixture", dim=8), width=96, depth=6)))) is not None
    tried(bomb(runs["toy"]))
    tried(pack({**runs["toy"], "resume-0123456789abcdef.safetensors": bytes(16 << 20)}))


def bomb(files: Mapping[str, bytes]) -> bytes:
    """Seven files of 16 MB of zeros, in some kilobytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", files["run.json"])
        for i in range(7):
            archive.writestr(f"model-{i:016x}.safetensors", bytes(16 << 20))
    return out.getvalue()


def test_s3_no_folder_costs_more_than_a_moment(hosted, runs, tmp_path):
    costs, now = Costs("folders"), limits()
    bounds = ReadLimits(reports=now.reports, check=now.check_run)
    for seed, (kind, files) in enumerate(runs.items()):
        folder = tmp_path / kind
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        every = records(files, TRIES // 3, 10 + seed)
        for record in chain(every, long_records(files) if kind == "toy" else ()):
            (folder / "run.json").write_text(record)
            costs(lambda folder=folder: load(folder, limits=bounds), BadRun)
    costs.check()


def with_tensors(files: Mapping[str, bytes], kind: str, content: bytes) -> dict[str, bytes]:
    """The run with other bytes in the place of a tensor file, under a name that fits them."""
    rest = {name: held for name, held in files.items() if not name.startswith((kind, "run"))}
    name = f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    return {**rest, name: content, "run.json": as_json({**record_of(files), f"{kind}_file": name}).encode()}


def law(count: int, dim: int, **more: torch.Tensor) -> bytes:
    """The file of a mixture of so many components."""
    held = {"weights": torch.ones(count), "means": torch.zeros(count, dim), "variances": torch.ones(count, dim)}
    return save_tensors({**held, **more})


def tensor_file(head: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this head, sound or not."""
    text = as_json(head).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor_files() -> Iterator[bytes]:
    """Heads that say what is not so, or far too much; and sound files, as large as they may be."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    for count in (100, 2_000, 50_000):
        yield tensor_file({f"{i:x}": entry for i in range(count)})
    for length in (0, 1, 1 << 17, 2**63):
        yield tensor_file({}, length=length)
    for kind, side in (("I64", 8), ("U8", 1), ("F32", 4), ("F16", 2), ("BOOL", 1), ("F64", 8)):
        whole = {"dtype": kind, "shape": [(4 << 20) // side], "data_offsets": [0, 4 << 20]}
        yield tensor_file({"weights": whole}, bytes(4 << 20))
    for shape in ([2**40, 2**40], [1] * 50_000, [0] * 9, nested(31), nested(900), [-1, -1], [2**70]):
        yield tensor_file({"means": {**entry, "shape": shape}})
    for file in at_extremes({"means": entry, "weights": dict(entry)}, 60):
        yield tensor_file(file)
    for count, dim in ((2, 2), (8_192, 2), (4_096, 2), (4_096, 64), (1 << 18, 2), (2, 64), (2, 4_096), (1, 1 << 20)):
        yield law(count, dim)
    yield law(2, 2, axes=torch.zeros(4, 512, 512))
    yield law(4_096, 8, axes=torch.eye(8).expand(4_096, 8, 8).contiguous())
    yield law(4_096, 2, axes=torch.eye(2).expand(4_096, 2, 2).contiguous())


def test_s3_no_checkpoint_costs_more_than_a_moment(hosted, runs):
    costs, now = Costs("checkpoints"), limits()
    bounds = ReadLimits(MOST_BYTES, now.reports, check=_check)
    for content in tensor_files():
        for kind, held in (("target", "mixture"), ("model", "toy"), ("target", "table")):
            files = pack(with_tensors(runs[held], kind, content))
            made = costs(lambda files=files: from_zip(files, limits=bounds), BadRun)
            assert made is None or (made.target.components <= now.components and made.dim <= now.dim)
    costs.check()


def test_s3_integers_that_would_become_float64_are_refused_by_their_head():
    integers = save_tensors(
        {"weights": torch.ones(2).long(), "means": torch.zeros(2, 2), "variances": torch.ones(2, 2)}
    )
    with pytest.raises(BadTensors, match="int64"):
        tensor_shapes(integers)
    size = size_of_law(tensor_shapes(law(1_000, 8)), table=False)
    assert (size.dim, size.components, size.bytes) == (8, 1_000, 8 * 17 * 1_000)


# ---- lessons ----------------------------------------------------------------------------------------------------
VALUES = (
    "[" * 20_000, "[" + "1," * 20_000 + "1]", "{" + ",".join(f"a{i}: 1" for i in range(5_000)) + "}",
    "1:" * 20_000 + "1",
    "9" * 50_000, "0x" + "f" * 50_000, "'" * 30_001, '"' + r"\x00" * 10_000 + '"', "&a [*a, *a]",
    "!!python/object:os.system x",
    "- " * 30_000, "? " * 30_000, "a: " * 20_000, "<<: {a: 1}", "x" * 50_000, "\ud800", "1e999", ".nan",
    "2001-01-01", "~",
    "1" * 1_999, "1_" * 900, "{{a}}" * 300, "190:20:30:15", "[]", "0",
)  # fmt: skip


def lessons() -> Iterator[str]:
    """Sound lessons with a value of a line at its extreme, or of several lines; and whole files of one thing."""
    chance = random.Random(0)
    texts = [path.read_text() for path in sorted(LESSONS.glob("*.md"))]
    yield from texts
    for number in range(TRIES):
        lines = chance.choice(texts).splitlines()
        places = [i for i, line in enumerate(lines) if ": " in line or line.endswith(":")]
        for at in chance.sample(places, chance.randint(2, 5) if number % 3 == 2 else 1):
            lines[at] = lines[at].partition(":")[0] + ": " + chance.choice(VALUES)
        yield "\n".join(lines)
    for value in VALUES:
        yield f"---\ntitle: {value}\n---\n## a\nb\n## c\nd\n"
    for part in ("\n## a\ntext\n", "\n```figure\n", "{{a}}", "\n```figure\nkind: x\n```\n", "\n---\n", "![", "`" * 9):
        yield texts[0] + part * ((63_000 - len(texts[0].encode())) // len(part))
        yield part * (63_000 // len(part))


def test_s9_no_lesson_costs_more_than_a_moment():
    costs = Costs("lessons")
    for text in lessons():
        costs(lambda text=text: read_lesson(text, "2-one-jump.md"), BadLesson)
    costs.check()


# ---- drawings ---------------------------------------------------------------------------------------------------
def sheets() -> Iterator[Any]:
    """What the sheet may send: lines of every length, places and widths at their extremes, and things that are none."""
    zigzags = [[0, 0], [250, 0], [0, 250]], [[-250, -250], [250, 250], [-250, 250], [250, -250]], [[0, 0], [1, 0]]
    for corners in zigzags:
        for count in (1, 2, 100, 1_500, 6_000, 6_001, 30_000):
            for width in (5, 60):
                yield [{"width": width, "points": [corners[i % len(corners)] for i in range(count)]}]
    for line in ([[0, 0]], [[0, 0], [250, 250]] * 7):
        yield [{"width": 5, "points": line}] * 400
    yield [{"width": 5, "points": [[0, 0]]}] * 50_000
    for value in EXTREMES:
        yield value
        yield [value]
        yield [{"width": value, "points": [[0, 0]]}]
        yield [{"width": 5, "points": value}]
        yield [{"width": 5, "points": [[0, value], [1, 1]]}]


def drawings() -> Iterator[str]:
    """What a link may hold in place of a drawing."""
    chance = random.Random(0)
    for number in range(TRIES):
        content = bytearray(b"\x01" + chance.randbytes(chance.choice((5, 60, 600, 3_000, 9_000))))
        if number % 2:  # one stroke, of as many points as its bytes have room for, somewhere on the sheet
            points = max(0, (len(content) - 8) // 2)
            content[1:8] = bytes([chance.choice((5, 20, 60))]) + points.to_bytes(2, "little") + bytes(4)
            content[8:] = bytes(chance.choice((0, 1, 2, 255, 254)) for _ in content[8:])
        yield base64.urlsafe_b64encode(content[: 8 + 2 * ((len(content) - 8) // 2)]).decode().rstrip("=")
    yield from ("", "=", "A" * 4_096, "_" * 4_096, "x" * 60_000)


def test_s9_no_drawing_costs_more_than_a_moment():
    costs = Costs("drawings")
    for raw in sheets():
        costs(lambda raw=raw: checked_drawing(write_strokes(checked_strokes(raw))))
    for text in drawings():
        costs(lambda text=text: checked_drawing(text))
    costs.check()
