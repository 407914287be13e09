"""Scaling: the experiments, from the claims to the figures."""
