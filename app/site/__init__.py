"""The lab as a static site: runs, measured curves, claims, answers and lessons as pages that need no server."""
