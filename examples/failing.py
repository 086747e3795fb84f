"""A task that fails: who monitors it gets its status, who asks for its result the exception.

    python examples/failing.py

prints, beside the server's log of what failed,

    divide(1, 2) returned 0.5
    divide(1, 0) failed: ZeroDivisionError
    and where it is asked for: ZeroDivisionError('division by zero')
"""

import sys

from dispycos import Client, LocalCluster, MonitorStatus, Task


def divide(a, b, task=None):
    yield
    return a / b


def main(task=None):
    client = Client([divide])
    yield client.schedule()
    for a, b in ((1, 2), (1, 0)):
        rtask = yield client.rtask(divide, a, b)
        yield task.monitor(rtask)
        status = yield task.receive()
        assert isinstance(status, MonitorStatus)
        if status.type is StopIteration:
            print(f"divide({a}, {b}) returned {status.value}")
        else:
            print(f"divide({a}, {b}) failed: {status.type.__name__}")
    try:
        yield rtask.result()
    except ZeroDivisionError as error:
        print(f"and where it is asked for: {error!r}")
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(1):
        sys.exit(Task(main).value())
