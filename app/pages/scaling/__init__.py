"""Scaling: the paper's claims, and the experiments from them to the figures."""
