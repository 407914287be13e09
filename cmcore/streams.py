"""Independent streams of random numbers: one seed, many purposes.

Every use of chance names its purpose, so that adding a metric never moves training, and the same noise serves every
number of steps.
"""

import hashlib

import torch

__all__ = ["stream"]


def stream(seed: int, purpose: str, *, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on (seed, purpose) alone; different purposes are independent for all practical ends."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
