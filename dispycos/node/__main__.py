"""`python -m dispycos.node`: the dispycosnode command."""

import contextlib
import sys

if __name__ == "__main__":
    ahead = None
    if "--inherit" in sys.argv:
        # The node of a program has a client at once: its zygote starts while we import the rest.
        from dispycos.node import fresh

        with contextlib.suppress(OSError):  # told when it is tried again
            ahead = fresh.start_zygote()
    from dispycos.node.cli import main

    sys.exit(main(ahead=ahead))
