"""The monitor in a terminal: `dispycos top`, `dispycos status`, `dispycos why`."""
