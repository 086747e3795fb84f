"""The commands of `dispycos` that look at an installation: its settings, its network, its completion."""
