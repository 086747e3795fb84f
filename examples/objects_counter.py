"""A counter that lives in a server: tasks everywhere count with it, and no step is lost.

    python examples/objects_counter.py

prints

    four tasks counted to 400
    the last one to be told: 400
"""

from dispycos import Client, LocalCluster


class Counter:
    def __init__(self):
        self.value = 0

    def add(self, step=1):
        self.value += step
        return self.value


def counts(counter, n):
    for _ in range(n):
        value = yield counter.add()
    return value


def main():
    client = Client()
    client.schedule().result()
    counter = client.object_at(None, Counter).result()
    tasks = [client.io_rtask(counts, counter, 100).result() for _ in range(4)]
    told = [task.value() for task in tasks]
    print("four tasks counted to", counter.add(0).result())
    print("the last one to be told:", max(told))
    client.close().result()


if __name__ == "__main__":
    with LocalCluster(2):
        main()
