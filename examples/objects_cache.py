"""A cache that all tasks share: what one has computed, no other computes again.

    python examples/objects_cache.py

prints

    12 requests, 3 computed, 9 found
    KeyError from the server: 'nobody asked for this'
"""

import sys

from dispycos import Client, LocalCluster, Task, expose


class Cache:
    def __init__(self):
        self.values = {}
        self.computed = 0

    def square(self, key):
        # One call at a time, so nobody computes what another one computes already.
        if key not in self.values:
            self.computed += 1
            self.values[key] = key * key  # the work that is worth a cache
        return self.values[key]

    def forget(self, key):
        del self.values[key]


def asks(cache, key):
    return (yield cache.square(key))


def main(task=None):
    client = Client()
    yield client.schedule()
    # `computed` may be read from afar; `values` may not.
    cache = yield client.object_at(None, expose(Cache, attributes=["computed"]))
    tasks = []
    for number in range(12):
        tasks.append((yield client.io_rtask(asks, cache, number % 3)))
    results = []
    for asking in tasks:
        results.append((yield asking.result()))
    computed = yield cache.computed
    print(f"{len(results)} requests, {computed} computed, {len(results) - computed} found")
    try:
        yield cache.forget("nobody asked for this")
    except KeyError as error:
        print("KeyError from the server:", error)
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(2):
        sys.exit(Task(main).value())
