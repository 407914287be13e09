"""The start-up recipe: it changes speed, never results beyond float32, and asks the device question in one place."""

import platform
import subprocess
import sys

import pytest
import torch

from cmcore.runtime import choose_device, choose_threads, describe_device, round_as, rounding, tune


def test_tuned_products_are_float32_products():
    before = torch.get_float32_matmul_precision()
    try:
        tune.cache_clear()
        tune()
        generator = torch.Generator().manual_seed(0)
        a, b = torch.randn(2, 300, 300, generator=generator)
        exact = a.double() @ b.double()
        assert float((a @ b - exact).abs().max() / exact.abs().max()) < 1e-5
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("products", ["highest", "medium"])
def test_a_product_rounded_as_elsewhere_has_the_digits_it_had_there_however_a_race_ended_here(products):
    before = rounding()
    a, b = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(0))
    try:
        round_as(1, products)
        told, there = rounding(), a @ b
        for race in ("highest", "medium"):
            torch.set_num_threads(2)
            torch.set_float32_matmul_precision(race)
            round_as(*told)
            assert torch.equal(a @ b, there)
            assert rounding() == told
    finally:
        round_as(*before)


@pytest.mark.parametrize(("wanted", "malloc"), [("", False), ("matmul", False)])
def test_the_environment_decides_what_is_tuned(wanted, malloc):
    code = "from cmcore.runtime import tune; t = tune(); print(int(t.matmul), int(t.malloc))"
    environment = {"CMCORE_TUNING": wanted, "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    matmul_taken, malloc_taken = map(int, done.stdout.split())
    assert bool(malloc_taken) == malloc
    assert wanted == "matmul" or not matmul_taken


LEAVING_GAPS = """
import torch
from cmcore.runtime import give_memory_back
def taken():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
blocks = [torch.zeros(4000) for _ in range(8000)]
last = blocks[-1]
blocks.clear()
print(taken(), give_memory_back(), taken())
"""
"""128 MB of small blocks, all of them free but the one on top, which keeps glibc from shrinking its heap."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be asked for its free memory")
@pytest.mark.parametrize(("wanted", "least", "most"), [("matmul", 100, 140), ("", 100, 140), ("matmul,malloc", -1, 1)])
def test_memory_is_given_back_unless_it_is_to_be_kept(wanted, least, most):
    environment = {"CMCORE_TUNING": wanted, "PATH": "", "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", LEAVING_GAPS]
    before, given, after = subprocess.run(
        run, capture_output=True, text=True, env=environment, check=True
    ).stdout.split()
    assert least <= float(before) - float(after) <= most
    assert given == str(least > 0)


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert describe_device(torch.device("cpu"), 1) == "CPU, 1 thread"
    assert describe_device(torch.device("cpu"), 2) == "CPU, 2 threads"
    with pytest.raises(ValueError, match="Unknown device"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device"):
            choose_device("cuda")


def test_threads_that_do_not_help_are_not_taken():
    threads = torch.get_num_threads()
    try:
        assert choose_threads(lambda: None, 1) == 1
        # A step that costs the same however many threads there are never shows a clear gain.
        assert choose_threads(lambda: sum(range(2000)), 2) == 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
