"""Real inputs made wrong, the same way every time; and a guard that no input takes long or much memory."""

import copy
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SECONDS, BYTES = 10, 3 << 30
"""What one input may take. Seconds of the processor, so that a busy machine fails nobody."""

WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1e308, -1e-300, float("nan"), float("inf"), 2**63, 2**70, "", "x" * 5_000, "../../etc/passwd",
    "\x00", "\u202e \U0001f4a3", [], [[[]]], [1, 2], {}, {"a": 1}, "__import__('os').system('true')", "1e9", "0x10",
)  # fmt: skip


@contextmanager
def bounded() -> Iterator[None]:
    """Fails what takes too long; what takes too much memory gets MemoryError instead of the whole machine."""

    def late(*_: object) -> None:
        raise AssertionError(f"This input took more than {SECONDS} s of the processor.")

    before = signal.signal(signal.SIGPROF, late)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:  # noqa: PTH123  one read of a file that is none
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def outcome(call: Callable[[], Any], refusals: type[Exception] = ValueError) -> tuple[Any, str]:
    """What the call gives and no words, or None and the words of its refusal, which must be a sentence."""
    with bounded():
        try:
            return call(), ""
        except refusals as error:
            words = str(error)
    assert a_sentence(words), words[:400]
    return None, words


def a_sentence(words: str) -> bool:
    """Whether these are one line of words for a person that names no inner thing of Python."""
    inner = ("Traceback", "object at 0x", "NoneType", "positional argument", "unhashable", "For further information")
    return 10 < len(words) < 700 and "\n" not in words and not any(name in words for name in inner)


def changed_bytes(content: bytes, seed: int) -> bytes:
    """The content cut, flipped, repeated, or with something else put in."""
    chance = random.Random(seed)
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at, size = chance.randrange(len(out) + 1), chance.choice((1, 2, 8, 200))
        kind = chance.randrange(6)
        if kind == 0:
            del out[at:]
        elif kind == 1 and out:
            out[min(at, len(out) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 2:
            out[at:at] = chance.randbytes(size)
        elif kind == 3:
            out[at:at] = out[at : at + size] * chance.choice((2, 50))
        elif kind == 4:
            del out[at : at + size]
        else:
            out[at:at] = chance.choice((b"\x00", b'"', b"\xff\xfe", b"nan", b"1e999", b",,,,", b"\r", b"-", b"{"))
    return bytes(out)


def changed_json(value: Any, seed: int) -> Any:
    """The value with a leaf or a branch replaced, removed, or joined by one that nobody knows."""
    chance = random.Random(seed)
    out = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 3))):
        places = list(_places(out))
        if not places:
            return out
        holder, key = chance.choice(places)
        kind = chance.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[chance.choice(("__class__", "unknown", "", "format"))] = chance.choice(WRONG)
        else:
            holder[key] = copy.deepcopy(chance.choice(WRONG))
    return out


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder and key; of long lists the first few, since their items are alike."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(min(3, len(value))):
            yield value, key
            yield from _places(value[key])
