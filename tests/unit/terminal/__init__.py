"""The pure parts of the monitor."""
