"""What depends on the machine: the device, the dtype of matrix products, and memory."""

import ctypes
import sys
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn


def reuse_memory() -> None:
    """Keep large blocks of memory for reuse, as the buffers of a training step come again.

    glibc hands a large block back to the system when it is freed, and each new one is then filled with zeros page by
    page: a third of a step at width 256. It stops doing so for sizes that it has seen freed, so it is shown one. Where
    the user has set its thresholds, they stay.
    """
    torch.empty((32 << 20) - (1 << 16), dtype=torch.uint8)  # glibc learns up to 32 MB


def give_memory_back() -> bool:
    """Return free memory to the system; whether there was any.

    After an estimate such gaps are some hundred MB, which glibc by itself keeps for the next one.
    """
    libc = _glibc()
    return bool(libc and libc.malloc_trim(0))


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it has what is asked of it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if libc.malloc_trim else None
    except (OSError, AttributeError):
        return None


def exact_float32(device: torch.device) -> bool:
    """Whether products of float32 matrices are computed in float32 there, and not in a shorter format.

    `torch.set_float32_matmul_precision` and its newer forms allow TF32 or bfloat16 instead, which errs by up to 1e-2.
    """
    backend = "cuda" if device.type == "cuda" else "mkldnn"
    return torch._C._get_fp32_precision_getter(backend, "matmul") in ("none", "ieee")


Products = Literal["float32", "bfloat16", "mixed"]
"""The dtypes of a training's matrix products. Mixed: bfloat16 for the first half of the run, float32 for the rest."""
HALF = 0.5


def choose_products(choice: Literal["auto"] | Products, device: torch.device, *, precise: bool = False) -> Products:
    """What `auto` comes to, for products that tolerate bfloat16.

    It is bfloat16 on CPUs that multiply it in hardware, where it is faster, and float32 elsewhere: small networks on a
    GPU wait for launches, not for products. It is mixed where an objective is `precise`, so that the rounding is seen.
    """
    if choice != "auto":
        return choice
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if device.type != "cpu" or not capabilities.get("avx512_bf16"):
        return "float32"
    return "mixed" if precise else "bfloat16"


def matmul_dtype(products: Products, progress: float = 0.0) -> torch.dtype:
    """The dtype of products when this share of the run is done."""
    fine = products == "float32" or (products == "mixed" and progress >= HALF)
    return torch.float32 if fine else torch.bfloat16


def linear(
    h: Float[Tensor, "*k n i"], weight: Float[Tensor, "*m o i"], bias: Float[Tensor, "*m o"] | None = None
) -> Float[Tensor, "*k n o"]:
    """hWᵀ + b, of a batch or of each member's, where no derivative is taken of it: by the faster library.

    Large float32 products are oneDNN's where it is faster than torch's own choice of MKL.
    """
    if weight.ndim == 3:
        return h @ weight.mT if bias is None else torch.baddbmm(bias[:, None], h, weight.mT)
    if h.dtype == torch.float32 and h.device.type == "cpu" and _large(h, weight) and _onednn_is_faster():
        return torch.ops.mkldnn._linear_pointwise(h, weight, bias, "none", [], "")
    return nn.functional.linear(h, weight, bias)


def _large(h: Tensor, weight: Tensor) -> bool:
    """Whether a product is so large that it does not matter what a call costs."""
    return h.shape[-2] * weight.numel() >= 1 << 20


@lru_cache(maxsize=1)
def _onednn_is_faster() -> bool:
    """Whether oneDNN is to take float32 products: on AMD's CPUs with AVX-512, where it was twice as fast as MKL."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return bool(has_both and "AMD" in str(capabilities.get("cpu_name")) and capabilities.get("avx512_f"))


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


def view_as_slices(parameters: list[nn.Parameter], weights: Tensor, gradients: Tensor | None = None) -> None:
    """Make each parameter (and its gradient) a view of its slice of the vectors, in order."""
    start = 0
    for p in parameters:
        end = start + p.numel()
        p.data = weights[start:end].view_as(p)
        if gradients is not None:
            p.grad = gradients[start:end].view_as(p)
        start = end
