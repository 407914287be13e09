"""The error for table files, and requests for columns of them, that cannot be used."""


class BadTable(ValueError):
    """A file or a request that makes no target; one sentence says why."""
