"""Links: reading what an address says, and writing it."""
