"""What can be taken from the page: programs, notebooks, tables and pages that stand alone."""
