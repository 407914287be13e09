"""What a person takes away: the run, points, tables, the code that makes the numbers, a page that needs no server."""
