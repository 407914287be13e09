"""A bounded memory of the process in which each answer is made once, whoever asks for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.background.jobs import Interrupted

T = TypeVar("T")


class Once(Generic[T]):
    """Answers by key: who asks while one is being made waits for it. That there is none, a ValueError, is an answer.

    Args:
        size: answers in memory; the one that was not asked for the longest goes first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._made: OrderedDict[Hashable, Future[T]] = OrderedDict()

    def peek(self, key: Hashable) -> T | None:
        """The answer, if it is there."""
        future = self._done(key)
        return None if future is None or future.exception() else future.result()

    def problem(self, key: Hashable) -> str:
        """Why there is no answer; empty where there is one, or nobody asked."""
        future = self._done(key)
        return "" if future is None or future.exception() is None else str(future.exception())

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The answer, made now if it is not there. What `make` raises is raised here too; a ValueError stays."""
        with self._lock:
            future = self._made.get(key)
            mine = Future() if future is None else None
            if mine is not None:
                self._made[key] = mine
        if mine is None:
            assert future is not None
            try:
                return future.result()
            except Interrupted:  # whoever was making it was asked to end
                return self.get(key, make)
        return self._make(key, mine, make)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._made.clear()

    def _done(self, key: Hashable) -> "Future[T] | None":
        with self._lock:
            future = self._made.get(key)
            if future is None or not future.done():
                return None
            self._made.move_to_end(key)
            return future

    def _make(self, key: Hashable, mine: "Future[T]", make: Callable[[], T]) -> T:
        try:
            mine.set_result(make())
        except ValueError as error:
            mine.set_exception(ValueError(str(error)))  # without the frames in which it was raised
        except BaseException as error:
            with self._lock:
                self._made.pop(key, None)
            mine.set_exception(error)
            raise
        with self._lock:
            while len(self._made) > self._size:
                self._made.popitem(last=False)
        return mine.result()


@dataclass(frozen=True)
class Measurable(Generic[T]):
    """Something to measure once.

    Attributes:
        words: what it is called where a page says what is being measured.
        memory: where its value stays.
        key: under which it stays there.
        make: measures it.
        cost: how long that takes, beside others.
    """

    words: str
    memory: Once[T]
    key: Hashable
    make: Callable[[], T]
    cost: float = 1.0

    @property
    def value(self) -> T | None:
        """Its value, if somebody has measured it."""
        return self.memory.peek(self.key)

    @property
    def problem(self) -> str:
        """Why it has no value; empty where it has one, or nobody has measured it."""
        return self.memory.problem(self.key)

    @property
    def missing(self) -> bool:
        """Whether nobody has measured it."""
        return self.value is None and not self.problem

    def measure(self) -> T:
        """Its value. ValueError says why there is none."""
        return self.memory.get(self.key, self.make)
