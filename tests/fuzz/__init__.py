"""Anything, for whatever reads bytes or texts of others: its own errors only, in bounded time and room."""
