"""KL against the truth: what is asked, what was measured, and how it is shown."""
