"""The script of `make gpu`, tried on the CPU: what it measures, and what it does where something goes wrong."""

import json
import re
import sys

import pytest
import torch

from benchmarks import gpu


@pytest.mark.parametrize("part", ["machine", "training", "sampling", "jax"])
def test_every_part_measures_the_cpu(part, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "OBJECTIVES", ("lsd",))
    makers = {"machine": gpu.machine, "training": gpu.training, "sampling": gpu.sampling, "jax": gpu.in_jax}
    result = makers[part]("cpu", small=True)
    for row in result.get("rows", ()):
        assert row["device"] > 0, row
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith(gpu.RESULT)]
    assert not said or json.loads(said[-1].removeprefix(gpu.RESULT)) == {"rows": result["rows"]}
    assert gpu.table(part, {**result, "seconds": 1.0})


def test_a_part_that_fails_or_hangs_leaves_its_traceback_and_what_it_had():
    failed = gpu.collected([sys.executable, "-c", "raise ValueError('told why')"], 60)
    assert "Traceback" in failed["error"]
    assert "told why" in gpu.table("training", failed)
    late = f"import time; print({gpu.RESULT!r} + '{{\"rows\": []}}', flush=True); time.sleep(600)"
    hung = gpu.collected([sys.executable, "-c", late], 5)
    assert hung["rows"] == []
    assert "stopped after 5 seconds" in hung["error"]


def test_every_file_with_tests_of_a_device_is_run():
    marked = {
        str(path.relative_to(gpu.ROOT))
        for path in (gpu.ROOT / "tests").rglob("test_*.py")
        if re.search(r"mark\.cuda|def test_\w+\([^)]*\bdevice\b", path.read_text())
    }
    assert marked <= set(gpu.tests_of_a_device())


def test_the_parts_take_eight_minutes_at_most():
    assert sum(gpu.LIMITS.values()) <= 480


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so_and_writes_nothing(tmp_path, capsys):
    assert gpu.main([str(tmp_path / "gpu.json")]) == 1
    assert capsys.readouterr().out.startswith("There is no CUDA device here")
    assert not list(tmp_path.iterdir())


def test_the_json_holds_every_part(tmp_path, capsys):
    path = tmp_path / "new" / "gpu.json"
    assert gpu.main([str(path), "--device", "cpu", "--small", "--parts", "machine"]) == 0
    assert json.loads(path.read_text())["machine"]["torch"] == torch.__version__
