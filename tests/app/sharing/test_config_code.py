"""A training in a link: what is written is read back, and what strangers write is a sentence or nothing new."""

import base64
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sharing.config_code import LONGEST, UNFOLDED, read_config, write_config
from cmcore.config import NetworkConfig, TargetConfig, TrainingConfig
from cmcore.targets import GALLERY


def code_of(told: object) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(told).encode())).decode().rstrip("=")


@given(
    seed=st.integers(0, 2**63 - 1),
    steps=st.integers(1, 10_000_000),
    delta=st.none() | st.floats(0.001, 1.0),
    width=st.integers(4, 1024),
    objective=st.sampled_from(["trajectory_regression", "lsd", "flow_matching"]),
)
@settings(max_examples=30)
def test_what_is_written_is_read_back(seed, steps, delta, width, objective):
    target = TargetConfig(name="gaussian", parameters={"dim": 3})
    config = TrainingConfig(
        objective=objective, seed=seed, steps=steps, delta=delta, network=NetworkConfig(width=width, depth=2)
    )
    code = write_config(target, config)
    assert code is not None
    assert len(code) < 700
    assert read_config(code) == (target, config)


def test_a_budget_that_became_steps_is_those_steps():
    config = TrainingConfig(seconds=20.0, steps=812, threads=1, matmul_dtype="float32")
    code = write_config(TargetConfig(name="moons"), config)
    assert code is not None
    _, back = read_config(code)
    assert (back.steps, back.seconds, back.threads) == (812, None, 0)  # threads are the other machine's to choose


def test_a_link_of_before_says_products_and_opens():
    _, back = read_config(code_of({"training": {"steps": 10, "products": "float32"}}))
    assert back.matmul_dtype == "auto"  # another machine's choice is this machine's to make anew


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"training": {"steps": 10, "objective": "magic"}}, "“magic”"),
        ({"training": {"steps": -1}}, "steps"),
        ({"training": {"steps": 10, "__class__": 1}}, "does not fit"),
        ({"training": {"steps": 10, "network": {"width": 10**9}}}, "width"),
        ({"training": {"steps": 10, "network": []}}, "does not fit"),
        ({"training": {}}, "budget"),
        ({"training": {"steps": 10}, "target": {"name": "nowhere"}}, "nowhere"),
        ({"training": {"steps": 10}, "target": {"name": "gaussian", "parameters": {"dim": 10**12}}}, "does not fit"),
        ({"training": {"steps": 10}, "target": {"name": "checkerboard"}, "path": "/etc/passwd"}, "no target"),
        ({"training": {"steps": 10, "delta": 0.0}, "target": {"name": "checkerboard"}}, "does not fit"),
        ([1, 2], "cannot be read"),
    ],
)
def test_what_does_not_fit_is_a_clause(told, words):
    with pytest.raises(ValueError, match=words):
        read_config(code_of(told))


def test_nothing_unfolds_to_more_than_it_may():
    with pytest.raises(ValueError, match="cannot be read"):
        read_config(code_of({"training": {"steps": 1}, "target": {"name": " " * (UNFOLDED + 1)}}))
    with pytest.raises(ValueError, match="longer"):
        read_config("A" * (LONGEST + 1))
    with pytest.raises(ValueError, match="cannot be read"):
        read_config(code_of(json.loads("[" * 400 + "]" * 400)))


@given(text=st.text(max_size=300))
@settings(max_examples=80)
def test_any_text_is_a_sentence(text):
    with pytest.raises(ValueError, match=r"cannot be read|longer"):
        read_config(text)


@given(at=st.integers(0, 10_000), to=st.characters(codec="ascii"))
@settings(max_examples=80)
def test_a_damaged_code_is_a_sentence_or_another_legal_training(at, to):
    code = write_config(TargetConfig(name="moons"), TrainingConfig(steps=100, seed=7))
    assert code is not None
    at %= len(code)
    try:
        _, config = read_config(code[:at] + to + code[at + 1 :])
    except ValueError:
        return
    assert isinstance(config, TrainingConfig)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("product_of_mixtures", {"dim": 4_096, "rotated": True}),
        ("random_mixture", {"dim": 2_048, "components": 1}),
        ("random_mixture", {"dim": 64, "components": 512}),
        ("gaussian", {"dim": 1 << 20}),
        ("digits", {"dim": 8}),
    ],
)
@pytest.mark.parametrize("hosted", ["1", ""])
def test_s2_a_target_that_a_link_names_is_weighed_and_not_made(name, parameters, hosted, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_HOSTED", hosted)
    monkeypatch.setattr(type(GALLERY[name]), "__call__", lambda *_, **__: pytest.fail("it was made"))
    code = code_of({"training": {"steps": 10}, "target": {"name": name, "parameters": parameters}})
    if parameters["dim"] > 64 or (hosted and parameters["dim"] > 8):
        with pytest.raises(ValueError, match="This server computes up to"):
            read_config(code)
    else:
        assert read_config(code)[0].parameters == parameters
