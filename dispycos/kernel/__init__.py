"""Tasks: a generator-based kernel that reads no clock and touches no OS (its pure half)."""
