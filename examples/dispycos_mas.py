"""Agents: tasks on three servers find each other, and tell each other what they observe.

    python examples/dispycos_mas.py [--scale F]

prints, as they come,

    Update from A: LOW / HIGH

whenever agent A learns that it is colder or warmer somewhere than it knew, from its own
thermometer or from another agent, until all know the lowest and the highest of all readings.
"""

import argparse
import math
import random
import sys

from dispycos import Client, LocalCluster, MonitorStatus, PeerStatus, Pycos, Task


def meet(agent, places, task=None):
    while status := (yield task.receive()):
        # The client and nodes are peers, too.
        if status.status == PeerStatus.Online and status.location in places:
            agent.send((yield Task.locate("agent", location=status.location)))


def agent(name, readings, places, seconds, client, task=None):
    task.register("agent")
    Pycos().peer_status(Task(meet, task, places))
    for place in set(places) - {task.location}:
        yield Pycos().peer(place)
    low, high, others = math.inf, -math.inf, []
    while True:
        heard = yield task.receive(timeout=seconds if readings else None)
        if isinstance(heard, Task):
            others.append(heard)
            heard.send((low, high))
            continue
        coldest, warmest = heard or [readings.pop()] * 2
        if coldest < low or warmest > high:
            low, high = min(low, coldest), max(high, warmest)
            for other in others:
                other.send((low, high))
            client.send((name, low, high))


def main(scale, task=None):
    client = Client([meet, agent])
    yield client.schedule()
    while len(places := (yield client.servers())) < 3:
        yield task.sleep(0.05)
    thermometers, known = [], {}
    for i, place in enumerate(places):
        thermometers.append([round(random.gauss(15, 8), 1) for _ in range(20)])
        rtask = yield client.io_rtask_at(place, agent, f"A{i}", thermometers[i], places, scale / 10, task)
        yield task.monitor(rtask)
    readings = [reading for thermometer in thermometers for reading in thermometer]
    while list(known.values()) != [(min(readings), max(readings))] * 3:
        heard = yield task.receive()
        if isinstance(heard, MonitorStatus):
            raise RuntimeError(f"an agent failed: {heard}")
        name, low, high = heard
        known[name] = low, high
        print(f"Update from {name}: {low} / {high}")
    yield client.close()  # ends the agents, which are I/O tasks


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(3):
        sys.exit(Task(main, options.scale).value())
