"""A socket server in a process of its own, and a gateway behind it.

    python examples/gateways_socket.py

prints

    three processes: this one, the server, and one for the gateway
    the server has ended with its gateway
"""

import os

from dispycos.gateways import PopenGateway, SocketGateway


def main():
    # Any gateway will do, so the server may be at another machine. Its key is made for this one use.
    server = PopenGateway()
    behind = SocketGateway.new_remote(server, ("127.0.0.1", 0))
    facts = behind._rinfo()  # what that Python is, and where
    if len({os.getpid(), server._rinfo().pid, facts.pid}) == 3:
        print("three processes: this one, the server, and one for the gateway")
    behind.exit()
    if behind.join(30) and server.remote_exec("channel.send('here')").receive() == "here":
        print("the server has ended with its gateway")
    server.exit()


if __name__ == "__main__":
    main()
