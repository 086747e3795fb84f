"""`python -m dispycos.node`: the dispycosnode command, or (`--inherit FD`) the node of a program."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["--inherit"]:
        import contextlib
        import gc

        from dispycos.node import fresh

        # It has a client at once: the zygote starts while we import the rest.
        ahead = None
        with contextlib.suppress(OSError):  # told when it is tried again
            ahead = fresh.start_zygote()
        # What is imported stays: looking through it again and again would take a tenth of the time.
        gc.disable()
        from dispycos.node import inherited

        gc.freeze()
        gc.enable()
        sys.exit(inherited.run(int(sys.argv[2]), ahead))
    from dispycos import entry

    sys.exit(entry.dispycosnode())
