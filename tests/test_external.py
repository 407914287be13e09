"""A result from elsewhere: read as it was written, measured as samples allow, refused in a sentence where it lies."""

import json
import math
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch

import cmcore as cm
from cmcore.archive import pack, unpack
from cmcore.divergences.estimate import MODEL_DATA
from cmcore.store import BadRun, external_from_zip, is_external, to_zip
from cmcore.store.external import EXTERNAL_FILE
from tests.app.conftest import untrained

MOONS = cm.make_target("moons")


def samples(n=400, seed=0):
    return MOONS.sample(n, generator=torch.Generator().manual_seed(seed))


def saved(place, **changes):
    made = {"name": "My flow", "target": MOONS, "points": {1: samples(seed=1), 4: samples()}, "method": "flow matching"}
    return cm.save_external(place / "mine.zip", **{**made, **changes})


def changed(place, **fields):
    """The zip with other fields in its record."""
    files = dict(unpack(saved(place).read_bytes(), largest=lambda _: 1 << 24))
    record = {**json.loads(files[EXTERNAL_FILE]), **fields}
    return pack({**files, EXTERNAL_FILE: json.dumps(record).encode()})


def test_o9_samples_by_step_come_back_with_their_origin(tmp_path):
    place = saved(tmp_path, source="https://example.org/paper", seed=3, notes="as in table 2", delta=0.02)
    result = cm.load_external(place)
    assert (result.name, result.delta, list(result.points)) == ("My flow", 0.02, [1, 4])
    assert torch.equal(result.points[4], samples())
    assert result.target.config == MOONS.config
    assert (result.origin.method, result.origin.seed, result.origin.notes) == ("flow matching", 3, "as in table 2")
    assert is_external(place.read_bytes())
    assert not is_external(to_zip(untrained()))
    assert not is_external(b"no zip")


def test_o9_its_samples_are_measured_as_any_samples_are(tmp_path):
    result = cm.load_external(saved(tmp_path, points={4: samples(3_000).numpy().astype(np.float32)}))
    own = cm.kl(result.points[4], MOONS, seed=7)
    assert result.kl(4, seed=7, direction=MODEL_DATA) == own
    assert own.low <= 0.0 + own.floor
    with pytest.raises(ValueError, match="no samples at N = 8"):
        result.kl(8, seed=7)


def test_reported_kls_stay_reported(tmp_path):
    curve = cm.kl_versus_steps(lambda x, t, s: x * math.exp(s - t), MOONS, [1, 2], delta=0.02, n=512, seed=0)
    result = cm.load_external(saved(tmp_path, points=None, curve=curve, delta=0.02))
    assert not result.points
    assert [(p.steps, p.value) for p in result.reported] == [
        (int(n), e.value) for n, e in zip(curve.values, curve.estimates, strict=True) if e.trusted
    ]
    with pytest.raises(ValueError, match="δ = 0"):
        saved(tmp_path, curve=curve)


def test_a_table_and_a_mixture_travel_along(tmp_path):
    mixture = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 0.1)
    result = cm.load_external(saved(tmp_path, target=mixture))
    x = samples(10)
    assert torch.equal(result.target.log_prob(x, 0.1), mixture.log_prob(x, 0.1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": {1: torch.zeros(5, 3)}}, r"\[n, 2\]"),
        ({"points": {1: torch.full((5, 2), math.nan)}}, "finite"),
        ({"points": {0: torch.zeros(5, 2)}}, "network calls"),
        ({"points": {}}, "neither samples nor reported"),
        ({"points": {k: torch.zeros(5, 2) for k in range(1, 18)}}, "up to 16"),
        ({"name": ""}, "name"),
        ({"delta": -1.0}, "delta"),
        ({"target": cm.CircleMixture([1.0], [[0.0, 0.0]], [1.0])}, "cannot be written"),
    ],
)
def test_what_would_not_be_read_is_not_written(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        saved(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": 2}, "format"),
        ({"dim": 3}, "d = 3"),
        ({"steps": [1, 2]}, "other numbers of steps"),
        ({"steps": [1, 1]}, "other numbers of steps"),
        ({"points_file": "points-0000000000000000.safetensors"}, "cannot be read|does not name"),
        ({"points_file": "../../etc/passwd"}, "points_file"),
        ({"gallery": None}, "does not carry its target"),
        ({"gallery": {"name": "nowhere"}}, "cannot be made"),
        ({"name": "x" * 61}, "name"),
        ({"extra": 1}, "extra"),
        ({"origin": {"method": "m" * 301}}, "method"),
        ({"reported": [{"steps": 1, "value": "NaN", "low": 0, "high": 1, "direction": MODEL_DATA}]}, "value"),
        ({"reported": [{"steps": 1, "value": 1, "low": 0, "high": 1, "direction": "KL"}]}, "direction"),
    ],
)
def test_a_record_that_lies_is_refused_in_a_sentence(tmp_path, fields, words):
    with pytest.raises(BadRun, match=words) as problem:
        external_from_zip(changed(tmp_path, **fields))
    assert "\n" not in str(problem.value)


def test_what_is_too_large_is_refused_before_it_is_made(tmp_path):
    content = saved(tmp_path).read_bytes()

    def check(size, numbers):
        assert (size.dim, numbers) == (2, 1_600)
        raise ValueError("This server holds less.")

    with pytest.raises(BadRun, match="holds less"):
        external_from_zip(content, check=check)
    with pytest.raises(BadRun, match="large"):
        external_from_zip(content, largest=1_000)


def test_a_zip_with_more_in_it_is_refused(tmp_path):
    with zipfile.ZipFile(saved(tmp_path), "a") as archive:
        archive.writestr("run.json", "{}")
    with pytest.raises(BadRun):
        cm.load_external(tmp_path / "mine.zip")
    with pytest.raises(BadRun, match="cannot be read"):
        cm.load_external(tmp_path / "nothing.zip")
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(EXTERNAL_FILE, "[" * 50_000)
    with pytest.raises(BadRun):
        external_from_zip(out.getvalue())
