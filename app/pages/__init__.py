"""A folder for each page; no page imports another."""
