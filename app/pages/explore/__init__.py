"""Explore: one run, drawn in N jumps."""
