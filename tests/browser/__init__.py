"""The page in a real browser, and a cluster for it that needs no processes."""
