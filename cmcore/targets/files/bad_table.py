"""The refusal of a file, or of a request for it."""


class BadTable(ValueError):
    """A file or a request that makes no target; one sentence says why."""
