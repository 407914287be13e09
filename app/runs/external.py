"""A result from elsewhere that a visitor has brought in."""

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import chain, count

from app.quoting import one_line
from cmcore.pools import same_law
from cmcore.store import ExternalResult

LONGEST_NAME = 60


@dataclass(frozen=True)
class External:
    """A result from elsewhere.

    Attributes:
        key: names its content in widgets and caches.
        label: for people, and unlike that of any other; one line of printable characters.
        result: its samples, reported KLs and origin.
    """

    key: str
    label: str
    result: ExternalResult

    @property
    def target_key(self) -> Hashable:
        """Equal for two results, or a run and a result, of the same law."""
        return same_law(self.result.target)

    @property
    def provenance(self) -> str:
        """Where it comes from, in the words of whoever saved it."""
        origin = self.result.origin
        parts = [origin.method, origin.source, "" if origin.seed is None else f"seed {origin.seed}", origin.notes]
        said = "; ".join(one_line(part, 300) for part in parts if part)
        return f"Brought in by you; not trained here. {f'Its file says: {said}.' if said else 'Its file says no more.'}"


def make_external(result: ExternalResult, content: bytes, others: Mapping[str, "External"]) -> External:
    """The result that was read from the bytes of a zip, named unlike the others; the same bytes make the same key."""
    names = {one.label for one in others.values()}
    label = one_line(result.name, LONGEST_NAME) or "A result"
    numbered = (f"{label} ({k})" for k in count(2))
    label = next(name for name in chain([label], numbered) if name not in names)
    return External(f"external-{hashlib.sha256(content).hexdigest()[:16]}", label, result)
