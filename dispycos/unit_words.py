"""Words of units of systemd, as systemd.service(5) and systemd.unit(5) have them.

Pure. Layer 0.
"""

from __future__ import annotations


def quoted(word: str) -> str:
    """A word of a command line of a unit, in quotes; nothing in it stands for something else."""
    for char, instead in (("\\", "\\\\"), ('"', '\\"'), ("$", "$$"), ("%", "%%"), ("\n", "\\n")):
        word = word.replace(char, instead)
    return f'"{word}"'
