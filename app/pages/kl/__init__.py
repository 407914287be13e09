"""KL: runs and baselines against the number of calls."""
