"""Several hosts on this machine, each a network namespace."""
