"""How a remote Python is started, and how ours gets to it."""
