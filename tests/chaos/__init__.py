"""Real processes that are killed, stopped, cut off and starved while tasks run; then ledgers are compared."""
