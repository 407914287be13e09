"""The refusal of a file, or of a request for it."""

__all__ = ["BadTable"]


class BadTable(ValueError):
    """A file or a request that makes no target; one sentence says why."""
