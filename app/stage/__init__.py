"""The canvas: what is drawn of a run, and what is done on it."""
