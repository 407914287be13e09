r"""The machine: which device, and the start-up recipe that makes small networks fast on a CPU.

Five measures, each falling back silently where a platform lacks it. `benchmarks/training_speed.py` switches oneDNN,
malloc and bfloat16 off one at a time; flat buffers and threads have no switch there.

* matrix products through oneDNN (`set_float32_matmul_precision("medium")`), up to twice as fast as the default where
  AVX-512 units are full width, no faster where they are not, and still float32. A probe checks speed and accuracy,
  because on some processors the same setting truly computes in bfloat16: there it is left alone.
* malloc keeps the buffers of a training step instead of handing them back to the system each time (glibc only).
* flat buffers: all weights, gradients and averages are views of three vectors, so that the optimiser and the
  exponential average are one call each.
* the matrix products of a training step in bfloat16, on CPUs that multiply it in hardware, about twice as fast there.
  On eight Gaussians, one seed, the KL at the end was that of float32 within its interval. Weights, sums, averages, and
  everything after training stay float32.
* as many threads as a probe of the real training step says are worth it: for these networks often one.

`CMCORE_TUNING` in the environment lists which of the first two to take, "matmul,malloc" unless told: a hosted lab says
"matmul", since memory that is kept is memory that other sessions lack, and `give_memory_back` then hands back what is
free; an empty value takes neither.
"""

import ctypes
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

__all__ = [
    "Tuning",
    "choose_device",
    "choose_threads",
    "describe_device",
    "give_memory_back",
    "products_dtype",
    "round_as",
    "rounding",
    "tune",
    "view_as_slices",
]

RACE = 12
"""Products timed on either path."""


@dataclass(frozen=True)
class Tuning:
    """What the start-up recipe found worth doing on this machine."""

    matmul: bool
    malloc: bool


@lru_cache(maxsize=1)
def tune() -> Tuning:
    """Apply the process-wide part of the recipe, once; later calls return what the first one did."""
    wanted = _wanted()
    return Tuning(matmul="matmul" in wanted and _fast_matmul(), malloc="malloc" in wanted and _keep_memory())


def rounding() -> tuple[int, str]:
    """What decides the last digits of float32 sums in this thread: how many threads, and the path of the products.

    They matter: an estimate that looks where a map folds before it draws may change by some hundredths of its interval.
    """
    tune()
    return torch.get_num_threads(), torch.get_float32_matmul_precision()


def round_as(threads: int, products: str) -> None:
    """Compute as where `rounding` gave these: this thread by so many threads, the process by that path of products.

    For what must end in the same digits in another process, where the race of the two paths may have ended differently.
    "medium" is taken where it is accurate, and "highest" instead of it elsewhere.
    """
    tune()
    taken = products == "medium" and "matmul" in _wanted() and _medium_is_accurate()
    torch.set_float32_matmul_precision("medium" if taken else "highest")
    torch.set_num_threads(threads)


def _wanted() -> list[str]:
    return os.environ.get("CMCORE_TUNING", "matmul,malloc").split(",")


def _fast_matmul() -> bool:
    """Take the oneDNN path if it is as accurate as float32 and not slower; say whether it was taken."""
    before = torch.get_float32_matmul_precision()
    least = {"highest": math.inf, "medium": math.inf}
    for precision in RACE * list(least):  # in turns: what slows one of two races down decides neither
        torch.set_float32_matmul_precision(precision)
        least[precision] = min(least[precision], _time_of_a_product())
    # It is about twofold or about none. Nearer to a tie a busy moment would decide, and with it the last digits.
    taken = _medium_is_accurate() and 1.5 * least["medium"] < least["highest"]
    torch.set_float32_matmul_precision("medium" if taken else before)
    return taken


def _time_of_a_product() -> float:
    """By this thread's processor time: with other programs on the cores, wall times would make the choice a lottery."""
    a, b = _probe()
    start = time.thread_time()
    a @ b
    return time.thread_time() - start


@lru_cache(maxsize=1)
def _medium_is_accurate() -> bool:
    """Whether products of precision "medium" are float32 here and not bfloat16."""
    a, b = _probe()
    exact = (a.double() @ b.double()).float()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    error = float((a @ b - exact).abs().max() / exact.abs().max())
    torch.set_float32_matmul_precision(before)
    return error < 1e-5


@lru_cache(maxsize=1)
def _probe() -> Tensor:
    """Two matrices, [2, 512, 512]."""
    return torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(0))


def _keep_memory() -> bool:
    """glibc: serve large blocks from the heap and never trim it, so that a step's buffers are reused warm."""
    libc = _glibc()
    mmap_threshold, trim_threshold = -3, -1
    return bool(libc and libc.mallopt(mmap_threshold, 1 << 30) and libc.mallopt(trim_threshold, 2**31 - 1))


def give_memory_back() -> bool:
    """Hand what is free between blocks in use to the system, unless `CMCORE_TUNING` keeps it; whether there was any.

    After an estimate such gaps are some hundred MB, which glibc by itself keeps for the next one.
    """
    libc = None if "malloc" in _wanted() else _glibc()
    return bool(libc and libc.malloc_trim(0))


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it has what is asked of it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if libc.mallopt and libc.malloc_trim else None
    except (OSError, AttributeError):
        return None


def products_dtype(choice: str, device: torch.device) -> torch.dtype:
    """The dtype for matrix products that tolerate bfloat16.

    "auto" is bfloat16 on CPUs that multiply it in hardware, where it is twice as fast, and float32 elsewhere: small
    networks on a GPU wait for launches, not for products.
    """
    if choice != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[choice]
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if device.type == "cpu" and known.get("avx512_bf16") else torch.float32


def choose_device(name: str = "auto") -> torch.device:
    """The device for `auto` (CUDA when there is one, else the CPU), `cpu` or `cuda`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("There is no CUDA device here. Choose device auto or cpu.")
    if name not in {"cpu", "cuda"}:
        raise ValueError(f"Unknown device {name!r}. Choose auto, cpu or cuda.")
    return torch.device(name)


def describe_device(device: torch.device, threads: int = 0) -> str:
    """The device in words, for the page and the command line."""
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)})"
    threads = threads or torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def choose_threads(step: Callable[[], object], most: int, *, gain: float = 1.2) -> int:
    """The number of threads, 1 or `most`, at which `step` runs faster; more than one only for a clear gain.

    A team of threads that has to wait for a core another program holds is many times slower than one thread, so the
    slowest tries of the team are compared with the typical ones of the single thread.
    """
    if most <= 1:
        return 1
    torch.set_num_threads(1)
    step()
    single = min(_timed(step) for _ in range(8))  # what it costs when nothing interferes
    torch.set_num_threads(most)
    step()
    team = sorted(_timed(step) for _ in range(8))[-2]
    chosen = most if team * gain < single else 1
    torch.set_num_threads(chosen)
    return chosen


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def view_as_slices(parameters: list[nn.Parameter], weights: Tensor, gradients: Tensor | None = None) -> None:
    """Make each parameter (and its gradient) a view of its slice of the vectors, in order."""
    start = 0
    for p in parameters:
        end = start + p.numel()
        p.data = weights[start:end].view_as(p)
        if gradients is not None:
            p.grad = gradients[start:end].view_as(p)
        start = end
