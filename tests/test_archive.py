"""A run as one zip: the same run comes back, and whatever else somebody hands in gets one clear sentence."""

import io
import json
import tracemalloc
import zipfile
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cmcore as cm
from cmcore.archive import BadArchive, pack, unpack
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.model import FlowMap, count_weights
from cmcore.store import BadRun, from_zip, to_zip, writing
from cmcore.streams import stream


def untrained(target):
    network = NetworkConfig(width=8, depth=1)
    flow_map = FlowMap(target.dim, network, generator=stream(0, "weights")).requires_grad_(requires_grad=False)
    config = TrainingConfig(network=network, steps=5, delta=0.0)
    return cm.TrainedModel(flow_map, target, config, 5, 0.1, "finished", "CPU, 1 thread", ((5, 0.1, float("nan")),))


@pytest.fixture(scope="module")
def run():
    return untrained(cm.make_target("eight_gaussians"))


@pytest.fixture(scope="module")
def files(run):
    return unpack(to_zip(run), largest=lambda name: 1 << 20)


def zipped(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def refused(content, words="."):
    with pytest.raises(BadRun, match=words) as told:
        from_zip(content, most=1 << 20)
    sentence = str(told.value)
    assert "\n" not in sentence
    assert len(sentence) < 700


def read_or_refused(content):
    """The run, or None where a sentence says why there is none."""
    sentence = ""
    try:
        return from_zip(content, most=1 << 20)
    except BadRun as told:
        sentence = str(told)
    assert "\n" not in sentence
    assert 10 < len(sentence) < 700
    return None


# ---- there and back ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["eight_gaussians", "checkerboard", "hypercube_corners"])
def test_what_is_packed_comes_back(name):
    model = untrained(cm.make_target(name))
    back = from_zip(to_zip(model))
    x = torch.randn(50, model.dim, generator=stream(1, "points"))
    torch.testing.assert_close(back.flow_map(x, 1.0, 0.2), model.flow_map(x, 1.0, 0.2), rtol=0, atol=0)
    assert (back.config, back.steps, back.target.config) == (model.config, model.steps, model.target.config)


def test_a_hand_made_target_travels_with_its_run_and_a_file_is_read_like_a_folder(tmp_path):
    target = cm.GaussianMixture([0.3, 0.7], [[0.0, 1.0], [1.0, 0.0]], 0.04)
    back = cm.load(cm.save(untrained(target), tmp_path / "a" / "run.zip"))
    assert torch.equal(back.target.means, target.means)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run.zip"]
    with pytest.raises(BadRun, match="cannot be read"):
        cm.load(tmp_path / "nowhere.zip")


def test_equal_runs_make_equal_bytes(run):
    assert to_zip(run) == to_zip(replace(run))


@given(st.dictionaries(st.text("abc.-_", min_size=1, max_size=12), st.binary(max_size=200), min_size=1, max_size=8))
@settings(max_examples=40)
def test_any_files_come_back(files):
    assert unpack(pack(files), largest=lambda name: 200) == files


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(
    "network", [NetworkConfig(width=8, depth=1), NetworkConfig(width=5, depth=3, space_frequencies=())]
)
def test_the_weights_are_counted_without_making_them(dim, network):
    flow_map = FlowMap(dim, network, generator=stream(0, "weights"))
    assert count_weights(dim, network) == sum(p.numel() for p in flow_map.parameters())


# ---- hostile archives -------------------------------------------------------------------------------------------
@given(st.binary(max_size=400))
@example(b"PK\x05\x06" + b"\0" * 18)
@settings(max_examples=150)
def test_any_bytes_get_a_sentence(content):
    refused(content)


@given(st.data())
@settings(max_examples=250)
def test_a_real_zip_with_bytes_changed_is_the_same_run_or_a_sentence(run, data):
    content = bytearray(to_zip(run))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40))
    back = read_or_refused(bytes(content[: len(content) - cut]))
    if back is not None:  # only what a reader may ignore was changed: a date, a permission
        assert all(
            torch.equal(a, b) for a, b in zip(back.flow_map.parameters(), run.flow_map.parameters(), strict=True)
        )


@pytest.mark.parametrize(
    "name",
    [
        "../run.json", "/etc/passwd", "run/run.json", "run.json\\..\\x", "model-0123456789abcdef.pt", "..", "run.json ",
        "curves.json", "model-0123456789abcdef.safetensors\n",
        "MODEL-0123456789abcdef.safetensors", "__MACOSX/._run.json",
    ],
)  # fmt: skip
def test_only_names_that_a_run_has_are_read(files, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(zipped([*files.items(), (name, b"{}")]), "which no run of this lab has|more than")
    assert not list(tmp_path.iterdir())


def test_two_files_of_one_name_are_refused(files):
    with pytest.warns(UserWarning, match="Duplicate"):
        content = zipped([*files.items(), ("run.json", b"{}")])
    refused(content, "two files of one name")


def test_a_bomb_does_not_unfold(files):
    record = files["run.json"]
    bomb = zipped([("run.json", record + b" " * (200 << 20))])
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        refused(bomb, "larger than")
        lying = bytearray(bomb)  # it declares a small size, in the file's own header and in the directory
        for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            at = lying.index(mark) + place
            lying[at : at + 4] = (1 << 19).to_bytes(4, "little")
        refused(bytes(lying), "damaged")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_directory_of_many_files_is_not_walked():
    content = zipped([(f"model-{i:016x}.safetensors", b"") for i in range(30)])
    refused(content, "more than the 8 files")
    extended = content[:-22] + b"PK\x06\x07" + b"\0" * 16 + content[-22:]
    refused(extended, "more than the 8 files")


def test_encrypted_and_oddly_packed_files_are_refused(files):
    refused(zipped(files.items(), zipfile.ZIP_BZIP2), "packed in a way")
    locked = bytearray(zipped(files.items()))
    at = locked.index(b"PK\x01\x02") + 8
    locked[at] |= 1
    refused(bytes(locked), "encrypted")


def test_unpack_says_what_it_cannot_read():
    with pytest.raises(BadArchive, match="not a zip"):
        unpack(b"hello", largest=lambda name: 10)
    with pytest.raises(BadArchive, match="empty"):
        unpack(pack({}), largest=lambda name: 10)


# ---- hostile records and tensors in sound archives --------------------------------------------------------------
def changed(files, change, tensors=None):
    """The zip of the run with its record changed, and other tensors under a right hash."""
    record = json.loads(files["run.json"])
    rest = {name: content for name, content in files.items() if name != "run.json"}
    if tensors is not None:
        rest = {}
        record["model_file"] = writing.add_tensors(rest, "model", tensors)
    change(record)
    return pack({**rest, "run.json": json.dumps(record).encode()})


def network(**changes):
    return lambda record: record["config"]["network"].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(dim=1_000_000), "weights, but run.json says"),
        (network(width=1024, depth=16), "weights, but run.json says"),
        (network(width=10**9), "width"),
        (network(space_frequencies=[1.0] * 16), "weights, but run.json says"),
        (network(preconditioning="pickle"), "preconditioning"),
        (lambda r: r["gallery"].update(name="product_of_mixtures", parameters={"dim": 1 << 20}), "says d = 2"),
        (lambda r: r["gallery"].update(name="__import__('os')"), "cannot be made"),
        (lambda r: r["gallery"].update(parameters={"sd": 1e400}), r"parameters\.sd: a number is finite"),
        (lambda r: r["gallery"].update(parameters={"sd": [1]}), "a setting is a number"),
        (lambda r: r.update(gallery=None), None),
        (lambda r: r.update(model_file="../../etc/passwd"), "model_file"),
        (lambda r: r.update(model_file="model-0123456789abcdef.safetensors"), "does not name"),
        (lambda r: r.update(target_file="target-0123456789abcdef.safetensors", gallery=None), "cannot be read"),
        (lambda r: r.update(seconds=float("nan")), "seconds"),
        (lambda r: r.update(steps=-1), "steps"),
        (lambda r: r["config"].update(objective_parameters="rm -rf"), "objective_parameters"),
    ],
)
def test_a_record_that_lies_gets_a_sentence(files, change, words):
    content = changed(files, change)
    if words is None:
        assert from_zip(content).target is None
    else:
        refused(content, words)


@pytest.mark.parametrize("spoil", ["nan", "infinite", "shape", "dtype", "names"])
def test_weights_that_do_not_fit_get_a_sentence(run, files, spoil):
    weights = dict(run.flow_map.state_dict())
    first = next(iter(weights))
    weights[first] = {
        "nan": torch.full_like(weights[first], float("nan")),
        "infinite": torch.full_like(weights[first], float("inf")),
        "shape": weights[first].reshape(-1).clone(),
        "dtype": weights[first].half(),
        "names": weights[first],
    }[spoil]
    if spoil == "names":
        weights["other"] = weights.pop(first)
    refused(changed(files, lambda r: None, weights), "not finite|says|does not hold|float16")


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes_as_a_record_get_a_sentence(files, content):
    refused(pack({**files, "run.json": content}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=250)
def test_a_record_with_any_value_anywhere_is_a_run_or_a_sentence(files, data):
    """The right names with wrong values, which reach further into the reader than random bytes."""
    record = json.loads(files["run.json"])
    place = data.draw(st.sampled_from([record, record["config"], record["config"]["network"], record["gallery"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    read_or_refused(pack({**files, "run.json": json.dumps(record).encode()}))


@given(
    st.dictionaries(st.sampled_from(["weights", "means", "variances", "axes"]), st.integers(0, 4), max_size=4),
    st.data(),
)
@settings(max_examples=60)
def test_a_mixture_of_any_tensors_is_a_target_or_a_sentence(files, shapes, data):
    tensors = {}
    for name, dims in shapes.items():
        values = torch.full(data.draw(st.tuples(*[st.integers(1, 3)] * dims)), data.draw(st.floats(width=32)))
        tensors[name] = values
    rest = {name: value for name, value in files.items() if name != "run.json"}
    record = json.loads(files["run.json"])
    record["target_file"] = writing.add_tensors(rest, "target", tensors)
    record["gallery"] = None
    back = read_or_refused(pack({**rest, "run.json": json.dumps(record).encode()}))
    if back is not None:
        assert bool(torch.isfinite(back.target.log_prob(torch.zeros(1, 2, dtype=torch.float64), 1.0)).all())
