"""A channel: what one task sends once, each subscriber gets, wherever it runs.

    python examples/channels.py

prints

    the mean of 3 numbers is 4.0
    the largest of 3 numbers is 7
"""

import sys

from dispycos import Channel, Client, LocalCluster, Task


def mean(numbers):
    return f"the mean of {len(numbers)} numbers is {sum(numbers) / len(numbers)}"


def largest(numbers):
    return f"the largest of {len(numbers)} numbers is {max(numbers)}"


def analyst(channel, analysis, task=None):
    # At a server. Nothing that is sent before it has subscribed reaches it.
    yield channel.subscribe(task)
    numbers = []
    while (number := (yield task.receive())) is not None:
        numbers.append(number)
    yield channel.unsubscribe(task)
    return analysis(numbers)


def main(task=None):
    client = Client([analyst])
    yield client.schedule()
    channel = Channel("measurements")
    analysts = []
    for analysis in (mean, largest):
        analysts.append((yield client.io_rtask(analyst, channel, analysis)))
    for number in (1, 4, 7, None):
        # Returns when both have it; it waits for so many subscribers.
        yield channel.deliver(number, n=len(analysts))
    for rtask in analysts:
        print((yield rtask.result()))
    channel.close()
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(2):
        sys.exit(Task(main).value())
