"""Pages: one file each, read as a description of the page."""
