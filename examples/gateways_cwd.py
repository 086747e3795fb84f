"""The working folder of a gateway: its maker's, or one that its specification names.

    python examples/gateways_cwd.py

prints

    popen: the same folder
    popen//chdir=cache: a folder named cache, which was made
"""

import os
import tempfile

from dispycos.gateways import PopenGateway, makegateway


def folder_of(gateway):
    channel = gateway.remote_exec("import os; channel.send(os.getcwd())")
    folder = channel.receive()
    gateway.exit()
    return folder


def main():
    if folder_of(PopenGateway()) == os.getcwd():
        print("popen: the same folder")
    with tempfile.TemporaryDirectory() as below:
        folder = folder_of(makegateway(f"popen//chdir={below}/cache"))
        print(f"popen//chdir=cache: a folder named {os.path.basename(folder)}, which was made")


if __name__ == "__main__":
    main()
