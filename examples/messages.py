"""Messages both ways: the client asks, a remote task answers, objects travel by value.

    python examples/messages.py

prints

    the distance of Point(x=3, y=4) is 5.0
    the distance of Point(x=6, y=8) is 10.0
    the distance of Point(x=5, y=12) is 13.0
    the task answered 3 questions
"""

import math
import sys
from dataclasses import dataclass

from dispycos import Client, LocalCluster, Task


@dataclass
class Point:
    x: float
    y: float


def measure(task=None):
    answered = 0
    while True:
        # A question names who asks, so that anybody may: other remote tasks too.
        message = yield task.receive()
        if message is None:
            return answered
        asker, point = message
        asker.send((point, math.hypot(point.x, point.y)))
        answered += 1


def main(task=None):
    client = Client([Point, measure])
    yield client.schedule()
    rtask = yield client.rtask(measure)
    for point in (Point(3, 4), Point(6, 8), Point(5, 12)):
        rtask.send((task, point))
    for _ in range(3):
        point, distance = yield task.receive()
        print(f"the distance of {point} is {distance}")
    rtask.send(None)
    print(f"the task answered {(yield rtask())} questions")
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(1):
        sys.exit(Task(main).value())
