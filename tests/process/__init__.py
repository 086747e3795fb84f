"""Real processes: nodes, schedulers and clients as users start them."""
