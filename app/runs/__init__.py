"""Trained runs: those that ship with the lab and those of a visitor."""
