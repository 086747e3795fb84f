"""Status messages: what a cluster tells a program about its nodes, servers and tasks.

    python examples/status.py

prints

    ClientScheduled
    NodeDiscovered
    NodeInitialized
    ServerDiscovered
    ServerInitialized
    TaskCreated double(21)
    the task returned 42
    ServerClosed
    NodeClosed
    ClientClosed
"""

import sys

from dispycos import Client, DispycosStatus, LocalCluster, MonitorStatus, Scheduler, Task


def double(n, task=None):
    yield
    return 2 * n


def watch(task=None):
    while True:
        message = yield task.receive()
        if isinstance(message, DispycosStatus):
            if message.status == Scheduler.TaskCreated:
                print(f"{message.status.name} {message.info.task.name}{message.info.args}".replace(",", ""))
            else:
                print(message.status.name)
            if message.status == Scheduler.ClientClosed:
                return
        elif isinstance(message, MonitorStatus):
            print(f"the task returned {message.value}")
        # Else it is a node's DispycosNodeAvailInfo, which comes at every pulse.


def main(task=None):
    watcher = Task(watch)
    client = Client([double], status_task=watcher)
    yield client.schedule()
    rtask = yield client.rtask(double, 21)
    yield rtask()
    yield client.close()
    yield watcher()


if __name__ == "__main__":
    with LocalCluster(1):
        sys.exit(Task(main).value())
