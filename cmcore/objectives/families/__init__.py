"""The published objectives, a file each: the defaults of an identity, and the source."""
