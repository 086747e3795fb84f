"""Whole clusters on a virtual clock; `dispycos.testing` has what tests use of it."""
