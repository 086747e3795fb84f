"""Code in another process, and a channel to it: the first thing to do with a gateway.

    python examples/gateways_pid.py

prints

    it runs in a process of its own
    6 * 7 is 42
    1 / 0 fails there: ZeroDivisionError: division by zero
"""

import os

from dispycos.gateways import RemoteError, makegateway

CALCULATES = """
    import os

    channel.send(os.getpid())
    for text in channel:
        channel.send(eval(text))
"""


def main():
    # For a machine elsewhere, say "ssh=user@host": it needs a Python, and nothing else.
    gateway = makegateway("popen")
    channel = gateway.remote_exec(CALCULATES)
    if channel.receive() != os.getpid():
        print("it runs in a process of its own")
    channel.send("6 * 7")
    print("6 * 7 is", channel.receive())
    channel.send("1 / 0")
    try:
        channel.receive()
    except RemoteError as error:
        # Its text is the traceback that was made there.
        print("1 / 0 fails there:", str(error).splitlines()[-1])
    gateway.exit()


if __name__ == "__main__":
    main()
