"""Inside: the map itself, beside the exact flow."""
