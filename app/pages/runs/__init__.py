"""Runs: what was trained, side by side."""
