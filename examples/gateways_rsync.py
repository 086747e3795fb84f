"""A folder is copied to several machines at once; the second time only what changed travels.

    python examples/gateways_rsync.py

prints

    first: 2 files travelled to each
    again: 1 file travelled to each
    the copies are the same
"""

import tempfile
from pathlib import Path

from dispycos.gateways import Group, RSync


def copy(source, targets):
    travelled = []
    rsync = RSync(source, lambda event, size, channel: travelled.append(event), verbose=False)
    for gateway, folder in targets:
        rsync.add_target(gateway, folder, delete=True)
    rsync.send()
    return travelled.count("ack") // len(targets)


def main():
    # For other machines: "ssh=HOST" in place of "popen".
    group = Group(["popen"] * 2)
    with tempfile.TemporaryDirectory() as below:
        source = Path(below, "source")
        source.mkdir()
        (source / "program.py").write_text("print(6 * 7)\n")
        (source / "data").write_bytes(bytes(100_000))
        targets = [(gateway, Path(below, gateway.id)) for gateway in group]
        print("first:", copy(source, targets), "files travelled to each")
        (source / "program.py").write_text("print(7 * 6)\n")
        print("again:", copy(source, targets), "file travelled to each")
        if len({(folder / "program.py").read_text() for _, folder in targets} | {"print(7 * 6)\n"}) == 1:
            print("the copies are the same")
    group.terminate()


if __name__ == "__main__":
    main()
