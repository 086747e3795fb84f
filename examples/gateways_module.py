"""A module is sent as its source, and knows by its name that it runs elsewhere: this one sends itself.

    python examples/gateways_module.py

prints

    here it is __main__
    there it is __channelexec__, and squares 12: 144
"""

import sys

# Nothing that the module imports travels with it; both ends have what belongs to Python.
from math import isqrt


def square(number):
    return number * number


def main():
    from dispycos.gateways import makegateway

    print("here it is", __name__)
    gateway = makegateway("popen")
    channel = gateway.remote_exec(sys.modules[__name__])
    channel.send(12)
    name, squared = channel.receive()
    if isqrt(squared) == 12:
        print(f"there it is {name}, and squares 12: {squared}")
    gateway.exit()


if __name__ == "__channelexec__":
    channel.send((__name__, square(channel.receive())))  # noqa: F821 - it is given to the code
elif __name__ == "__main__":
    main()
