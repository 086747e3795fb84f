"""The web monitor: what a cluster does, watched live in a browser."""
