"""The budgets that a training may be given."""

from app.hosting.limits import limits

BUDGETS = {5: "5 s", 10: "10 s", 20: "20 s", 60: "1 min", 120: "2 min", 300: "5 min"}
"""Seconds, in words."""


def budgets() -> list[int]:
    """The budgets that this server allows."""
    return [seconds for seconds in BUDGETS if seconds <= limits().budget]
