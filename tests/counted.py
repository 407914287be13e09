"""What a call allocates, counted: the bytes of all tensors, whatever the machine and its load."""

from collections.abc import Callable
from typing import NamedTuple

from torch.profiler import ProfilerActivity, profile


class Bytes(NamedTuple):
    """The most that was held at once beyond what was there before, and all that was ever asked for."""

    peak: int
    total: int


def allocated(call: Callable[[], object]) -> Bytes:
    """Of the tensors on the CPU that a call makes; its answer is held to the end."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        answer = call()
    del answer
    held, peak, total = 0, 0, 0
    for event in watched.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak, total = max(peak, held), total + max(0, event.nbytes())
    return Bytes(peak, total)
