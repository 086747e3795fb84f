"""Tasks of one process send each other messages.

    python -m dispycos.compat greetings.py

prints

    hello, Ann
    hello, Ben
    hello, Cleo
"""

import pycos


def greeter(task=None):
    task.set_daemon()
    while True:
        name, sender = yield task.receive()
        sender.send("hello, %s" % name)


def main(task=None):
    server = pycos.Task(greeter)
    for name in ("Ann", "Ben", "Cleo"):
        server.send((name, task))
        print((yield task.receive()))


if __name__ == "__main__":
    pycos.Task(main)
