"""Results from elsewhere that a visitor has brought in: held by the session, and by nothing else."""

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from app import state
from app.hosting.limits import limits
from app.quoting import one_line
from cmcore.pools import same_law
from cmcore.store import BadRun, ExternalResult

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


def externals() -> Mapping[str, External]:
    """The results of this session, oldest first."""
    return state.session_dict("externals")


def add_external(result: ExternalResult) -> External:
    """Take a result in. BadRun where the session holds as many as it may."""
    held = state.session_dict("externals")
    if len(held) >= limits().results:
        raise BadRun(f"This session holds {len(held)} results from elsewhere, and no more: remove one first.")
    label = one_line(result.name, LONGEST_NAME) or "A result"
    others = {one.label for one in held.values()}
    label = next(name for name in (label, *(f"{label} ({k})" for k in range(2, 1_000))) if name not in others)
    digest = hashlib.sha256(f"{label} {len(held)}".encode())
    for steps, points in result.points.items():
        digest.update(f"{steps}".encode() + points.numpy().tobytes())
    key = f"external-{digest.hexdigest()[:10]}"
    held[key] = External(key, label, result)
    return held[key]


def remove_external(key: str) -> None:
    """Forget a result."""
    state.session_dict("externals").pop(key, None)
