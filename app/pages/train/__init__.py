"""Train: a target, an objective and a budget become a run."""
