"""Tasks at both ends of a gateway: many conversations at once, and no thread for any of them.

    python examples/gateways_tasks.py

prints

    100 conversations of 3 questions each, all answered
    nobody answers: waited 0.1 s
"""

import sys

from dispycos import Task
from dispycos.gateways import makegateway


async def answers(channel, number):
    # A task of the other process, which needs no dispycos of its own: the kernel travels there.
    async for question in channel:
        await channel.send(question * number)


def asks(channel, number):
    for question in range(3):
        yield channel.send(question)
        answer = yield channel.receive()
        if answer != question * number:
            return False
    return True


def main(task=None):
    gateway = makegateway("popen//execmodel=task")
    tasks = [Task(asks, gateway.remote_exec(answers, number=n), n) for n in range(100)]
    right = 0
    for asking in tasks:
        right += yield asking()
    print(f"{right} conversations of 3 questions each, all answered")
    try:
        yield gateway.remote_exec(answers, number=0).receive(timeout=0.1)
    except TimeoutError as late:
        print("nobody answers:", str(late).partition(" for")[0])
    gateway.exit()


if __name__ == "__main__":
    sys.exit(Task(main).value())
