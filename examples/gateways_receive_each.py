"""Several processes work at once, and each gives a result.

    python examples/gateways_receive_each.py

prints

    sums of the parts: [499500, 1499500, 2499500]
    their sum: 4498500
"""

from dispycos.gateways import Group


def add(channel, first, last):
    # It runs elsewhere, so it uses nothing but its arguments and what it imports itself.
    channel.send(sum(range(first, last)))


def add_more(channel):
    channel.send(sum(range(*channel.receive())))


def main():
    group = Group(["popen"] * 3)
    channels = group.remote_exec(add_more)
    for number, channel in enumerate(channels):
        channel.send((1000 * number, 1000 * (number + 1)))
    sums = channels.receive_each()
    print("sums of the parts:", sums)
    channels.waitclose()
    whole = group[0].remote_exec(add, first=0, last=3000).receive()
    print("their sum:", whole)
    group.terminate()


if __name__ == "__main__":
    main()
