"""Threads: work in pieces that never wait for each other, and teams that are asked for and given back.

torch shares one operation among a team of OpenMP threads, and at its end all wait for the slowest. On a machine with
other work a member that waits for a core holds up every operation by a time slice: what takes seconds takes minutes.
So everything but a training step is computed in pieces of a fixed number of rows, each by a single thread. On a busy
machine that costs the share of the cores which is denied and no more, and no digit depends on how many threads there
are, or on how a user has set torch.

What is asked for here holds for the calling thread alone, in OpenMP and in MKL; torch's own setting, which new threads
of the process start with, stays as it is.
"""

import ctypes
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.overrides import _get_current_function_mode_stack

T = TypeVar("T")

_here = threading.local()
"""`width`: how many threads the pieces of this thread's work may take."""


# ---- the team of this thread ----------------------------------------------------------------------------------------
@contextmanager
def team(threads: int) -> Iterator[None]:
    """Inside, torch computes with a team of so many threads where this thread asks it to; then with the former one."""
    torch.get_num_threads()  # a new thread takes over the setting of the process at its first question
    before = [library.get_num_threads() for library in _openmp()]
    mkl = _mkl()
    _set_openmp([threads] * len(before))
    of_mkl = mkl(threads) if mkl else 0
    try:
        yield
    finally:
        _set_openmp(before)
        if mkl:
            mkl(of_mkl)


def _set_openmp(threads: Sequence[int]) -> None:
    for library, count in zip(_openmp(), threads, strict=True):
        library.set_num_threads(count)


@lru_cache(maxsize=1)
def _openmp() -> tuple[Any, ...]:
    """The OpenMP libraries of this process, whose `set_num_threads` speaks for the calling thread."""
    return tuple(ThreadpoolController().select(user_api="openmp").lib_controllers)


@lru_cache(maxsize=1)
def _mkl() -> Callable[[int], int] | None:
    """Sets the threads of MKL for the calling thread and says what they were; 0 follows OpenMP. None without MKL."""
    try:
        library = next((Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"))
        return ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
    except (StopIteration, OSError, AttributeError):
        return None


def choose_threads(step: Callable[[], object], most: int, *, gain: float = 1.2) -> int:
    """The size of team, 1 or `most`, at which `step` runs faster; more than one only for a clear gain.

    A team that has to wait for a core another program holds is many times slower than one thread, so the slowest tries
    of the team are compared with the best one of the single thread.
    """
    if most <= 1:
        return 1
    with team(1):
        step()
        single = min(_timed(step) for _ in range(8))
    with team(most):
        if _timed(step) > 20 * single:  # it waits already
            return 1
        slow = sorted(_timed(step) for _ in range(8))[-2]
    return most if slow * gain < single else 1


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# ---- pieces ---------------------------------------------------------------------------------------------------------
@contextmanager
def piecewise() -> Iterator[None]:
    """Inside, each operation takes one thread, and :func:`in_pieces` as many as the operations took outside.

    Around whatever computes for more than a moment; it may also decorate a function.
    """
    if hasattr(_here, "width"):
        yield
        return
    with _width(torch.get_num_threads()), team(1):
        yield


def available_threads() -> int:
    """How many threads this thread's work may take: those of torch's operations, or of pieces within `piecewise`."""
    return getattr(_here, "width", None) or torch.get_num_threads()


@contextmanager
def _width(threads: int) -> Iterator[None]:
    """How many threads the pieces of this thread's work may take, for a while."""
    before = getattr(_here, "width", None)
    _here.width = threads
    try:
        yield
    finally:
        if before is None:
            del _here.width
        else:
            _here.width = before


def in_pieces(function: Callable[..., T], *columns: Tensor, rows: int) -> list[T]:
    """function(piece of each column) for consecutive pieces of so many rows, in order.

    Within :func:`piecewise` several threads share the pieces. What this thread does with torch they do too: gradients
    on or off, and modes such as the one that ends abandoned work.

    Args:
        function: takes a piece of each column.
        columns: tensors of equally many rows.
        rows: of a piece; the last may have fewer. It decides the digits, so it must not depend on the machine.
    """
    pieces = list(zip(*(column.split(rows) for column in columns), strict=True))
    width = min(getattr(_here, "width", 1), len(pieces))
    if width <= 1 or peek_interpreter_stack() is not None:  # transforms belong to their thread
        return [function(*piece) for piece in pieces]
    return _shared(function, pieces, width)


def joined(function: Callable[..., Tensor], *columns: Tensor, rows: int) -> Tensor:
    """The answers of :func:`in_pieces` as one tensor, where each piece is answered by as many rows.

    Without a gradient each answer is written at its place. Small answers that stay where they are, between large
    intermediates, scatter the heap: the C library then holds a hundred times what the tensors take.
    """
    first = function(*(column[:rows] for column in columns))
    rest = [column[rows:] for column in columns]
    if not len(rest[0]):
        return first
    if first.requires_grad or peek_interpreter_stack() is not None:
        return torch.cat([first, *in_pieces(function, *rest, rows=rows)])
    answer = first.new_empty(len(columns[0]), *first.shape[1:])
    answer[:rows] = first
    del first

    def place(at: Tensor, *piece: Tensor) -> None:
        start = int(at[0])
        answer[start : start + len(at)] = function(*piece)

    in_pieces(place, torch.arange(rows, len(answer)), *rest, rows=rows)
    return answer


def _shared(function: Callable[..., T], pieces: Sequence[tuple[Tensor, ...]], width: int) -> list[T]:
    """The calling thread takes piece after piece, and so does each of its helpers that comes before all are taken."""
    numbers = itertools.count()
    answers: list[Any] = [None] * len(pieces)
    failed = threading.Event()

    def work() -> None:
        with _width(1):
            while (i := next(numbers)) < len(pieces) and not failed.is_set():
                try:
                    answers[i] = function(*pieces[i])
                except BaseException:
                    failed.set()
                    raise

    gradients, modes = torch.is_grad_enabled(), _get_current_function_mode_stack()

    def help_out() -> None:
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(gradients))
            for mode in modes:
                stack.enter_context(mode)
            work()

    helpers = [_helpers().submit(help_out) for _ in range(width - 1)]
    try:
        work()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        problems = [helper.exception() for helper in begun]
    for problem in problems:
        if problem is not None:
            raise problem
    return answers


@lru_cache(maxsize=1)
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "pieces", initializer=_alone)


def _alone() -> None:
    """A helper computes by itself, for as long as it lives."""
    _here.alone = team(1)  # held, since a context that nobody holds is left
    _here.alone.__enter__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not survive a fork
