"""Files of another account: their contents come through a channel, one after the other.

    python examples/gateways_files.py [HOST FILE...]

reads those files at HOST, by the ssh program. Without arguments it reads this file in a process here, and

prints

    gateways_files.py: the same here and there
"""

import sys
from pathlib import Path

from dispycos.gateways import PopenGateway, SshGateway

SERVES = """
    for fn in channel:
        f = open(fn, 'rb')
        channel.send(f.read())
        f.close()
"""


def contents(gateway, names):
    channel = gateway.remote_exec(SERVES)
    for name in names:
        channel.send(name)
        yield name, channel.receive()
    gateway.exit()


def main(host=None, *names):
    if host:
        for name, content in contents(SshGateway(host), names):
            print(f"{name}: {len(content)} bytes")
        return
    for name, content in contents(PopenGateway(), [__file__]):
        if content == Path(name).read_bytes():
            print(f"{Path(name).name}: the same here and there")


if __name__ == "__main__":
    main(*sys.argv[1:])
