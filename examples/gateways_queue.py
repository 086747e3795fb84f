"""Results of several processes, in the order in which they come.

    python examples/gateways_queue.py

prints

    fast: 1
    fast: 2
    slow: 3
    both are at their end
"""

from dispycos.gateways import Group, MultiChannel

SENDS = """
    for number in channel.receive():
        channel.send(number)
    channel.receive()
"""


def main():
    group = Group(["popen//id=fast", "popen//id=slow"])
    fast, slow = group.remote_exec(SENDS)
    # (channel, item) pairs; None comes once for each channel at its end.
    queue = MultiChannel([fast, slow]).make_receive_queue(endmarker=None)
    fast.send([1, 2])
    for _ in range(2):
        channel, item = queue.get(timeout=30)
        print(f"{channel.gateway.id}: {item}")
    slow.send([3])
    channel, item = queue.get(timeout=30)
    print(f"{channel.gateway.id}: {item}")
    for channel in (fast, slow):
        channel.send("you may end")
    if [queue.get(timeout=30)[1] for _ in range(2)] == [None, None]:
        print("both are at their end")
    group.terminate()


if __name__ == "__main__":
    main()
