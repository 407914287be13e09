"""Experiments on the page: their fields and their results."""
