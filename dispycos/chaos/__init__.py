"""Faults on purpose: what `DISPYCOS_CHAOS` may say, and whether it says anything here."""
