"""The program `dispycos`: a scheduler, or one of its commands.

Layer 8. Rows DS-02, DN-42.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dispycos.commands import programs
from dispycos.usage import Section
from dispycos.wording import nearest


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, or a shared scheduler if none is named; answers the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        # Not above: a short answer does not wait for what it does not use.
        from dispycos.scheduler import cli as scheduler

        lines = tuple((f"dispycos {name}", one.about) for name, one in programs.COMMANDS.items())
        return scheduler.main(arguments, Section("commands", lines))
    name, *rest = arguments
    if name in programs.COMMANDS:
        return programs.COMMANDS[name].main()(rest)
    near = nearest(name, programs.COMMANDS)
    hint = f"did you mean {near!r}? All" if near else "all"
    print(
        f"dispycos: {name!r} is no command; {hint} of them: {', '.join(programs.COMMANDS)}", file=sys.stderr
    )
    return 2
