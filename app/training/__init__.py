"""A training in the background, whichever page is on screen."""
