"""Unmodified pycos programs run here: `python -m dispycos.compat PROGRAM [ARGS]`."""
