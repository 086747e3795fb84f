"""A task ends with a value as it did before Python 3.7: by raising StopIteration.

    python -m dispycos.compat old_returns.py

prints

    half of 42 is 21
    half of 7: ValueError
"""

import pycos


def half(number, task=None):
    yield task.sleep(0.01)
    if number % 2:
        raise ValueError(number)
    raise StopIteration(number // 2)


def main(task=None):
    print("half of 42 is %s" % (yield pycos.Task(half, 42)()))
    status = yield pycos.Task(half, 7).finish()
    print("half of 7: %s" % status.type.__name__)
    raise StopIteration(0)


if __name__ == "__main__":
    pycos.logger.setLevel(pycos.Logger.CRITICAL)
    pycos.Task(main)
