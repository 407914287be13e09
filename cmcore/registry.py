"""Registries: things that can be chosen by name, such as targets, objectives, samplers and estimators.

A folder of the package keeps one :class:`Registry`; each file in it registers what it defines. Pickers, the command
line, links and the law tests list the registry, so that adding one thing is adding one file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from reprlib import repr as shortened
from typing import Generic, TypeVar, cast

T = TypeVar("T")
Thing = TypeVar("Thing")


class UnknownName(ValueError, KeyError):
    """A name that no registry entry has; the message lists the nearest names and all of them.

    Bad input to whoever asks for the name, and a missing key to `get`.
    """

    __str__ = ValueError.__str__  # a KeyError would show its message in quotes


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping from names to things, with errors that say what exists.

    `origins` says of what a plug-in registered which package that was.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.origins: dict[str, str] = {}
        self._entries: dict[str, T] = {}
        self._loading = ""

    def register(self, name: str) -> Callable[[Thing], Thing]:
        """Decorator that files a thing under `name`; a name taken twice is an error."""

        def file(thing: Thing) -> Thing:  # of the registry's kind, and keeping its own type
            if name in self._entries:
                raise ValueError(f"two {self.noun}s are named {name!r}")
            self._entries[name] = cast("T", thing)
            if self._loading:
                self.origins[name] = self._loading
            return thing

        return file

    @contextmanager
    def loading(self, package: str) -> Iterator[None]:
        """What is registered meanwhile comes from this package."""
        self._loading = package
        try:
            yield
        finally:
            self._loading = ""

    def drop(self, names: Iterable[str]) -> None:
        """Forget what a plug-in registered."""
        for name in names:
            self._entries.pop(name)
            self.origins.pop(name, None)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            near = get_close_matches(name, self._entries, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownName(
                f"There is no {self.noun} named {shortened(name)}.{hint} Known: {', '.join(self._entries)}."
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
