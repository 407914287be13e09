"""What is proved, evaluated on the models at hand."""

from cmcore.theory.bounds import BoundA, Interval, bound_a, initialisation_bound, initialisation_kl, map_error

__all__ = ["BoundA", "Interval", "bound_a", "initialisation_bound", "initialisation_kl", "map_error"]
