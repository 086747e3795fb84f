"""P10: the deciding machines at cluster sizes that no bench has. `python -m bench.scale`

The scheduler's machine hears simulated nodes of 8 servers: they join and are reserved, then rounds of
pulses follow, in each of which one node of a hundred is lost and another one joins. The dispatch
machine places tasks on as many servers and hears their outcomes. Pure machines: no sockets, no
decoding, one thread; processor time of that thread.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dispycos import messages as m
from dispycos.client.dispatch import Dispatch
from dispycos.client.events import ServerUsable
from dispycos.client.submission import Submission
from dispycos.config import Limits
from dispycos.events import Heard, PeerGone, PeerUp, Say
from dispycos.model import CLIENT_MADE, CodeHash, End, Incarnation, Location, Outcome, Payload, Role
from dispycos.scheduler.machine import SchedulerMachine

SMALL, LARGE = 100, 10_000  # nodes
SERVERS = 8  # of a node
ROUNDS = 3  # of pulses
CHANGED = 100  # one node of so many is lost in a round, and another joins
TASKS_EACH = 4  # tasks placed for each server
MAX_TASKS = 10_000  # in all
LIMIT = 120.0  # seconds for one measurement

OUR, CLIENT = Incarnation(b"scheduler......."), Incarnation(b"client..........")
FUNCTION, PAYLOAD = CodeHash(b"f" * 16), Payload(b"args")


@dataclass(frozen=True, slots=True)
class Found:
    """Microseconds of processor time that one event took."""

    scheduler: float
    dispatch: float


def measure(repeats: int) -> dict[str, list[float]]:
    """Figures by workload; each round in a program of its own. subprocess.SubprocessError."""
    found: dict[str, list[float]] = {"P10": [], "P10D": [], "P10F": []}
    for _ in range(repeats):
        small, large = (_apart(nodes) for nodes in (SMALL, LARGE))
        found["P10"].append(1e6 / large.scheduler)
        found["P10D"].append(1e6 / large.dispatch)
        found["P10F"].append(large.scheduler / small.scheduler)
    return found


def _apart(nodes: int) -> Found:
    done = subprocess.run(
        [sys.executable, "-m", "bench.scale", "--json", str(nodes)],
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return Found(*json.loads(done.stdout))


def at(nodes: int) -> Found:
    """Both machines, at a cluster of so many nodes."""
    each = (1e6 * taken / events for events, taken in (run_scheduler(nodes), run_dispatch(nodes)))
    return Found(*each)


def _who(kind: bytes, number: int) -> Incarnation:
    return Incarnation(kind + number.to_bytes(15, "big"))


def _joins(number: int) -> Iterator[object]:
    who, place = _who(b"n", number), Location(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 9706)
    avail = m.Avail(memory=1 << 34)
    facts = m.NodeFacts(who, place, f"n{number}", platform="Linux", python="3.11", cpus=SERVERS, avail=avail)
    yield PeerUp(who, Role.NODE, place)
    yield Heard(who, m.NodeHere(facts, 0, 0, [], True))


def run_scheduler(nodes: int) -> tuple[int, float]:
    """Events, and the seconds of processor time that they took."""
    machine = SchedulerMachine(OUR, Limits(), reservation_numbers=itertools.count(1))
    machine.handle(PeerUp(CLIENT, Role.CLIENT, None), 0.0)
    ask = m.Schedule(1, "c", None, [], 1.0, zombie_period=5.0, abandon_zombies=False)
    machine.handle(Heard(CLIENT, ask), 0.0)
    assert machine.active is not None
    turn = machine.active.reservation

    def round_of(number: int) -> list[object]:
        first = number * nodes // CHANGED
        here = [_who(b"n", node) for node in range(first, first + nodes)]
        events: list[object] = [Heard(who, m.Pulse(turn, m.Avail(), [])) for who in here]
        for gone in range(max(1, nodes // CHANGED)):
            events.append(PeerGone(here[gone], "the benchmark lost it"))
            events += _joins(first + nodes + gone)
            events.append(Heard(_who(b"n", first + nodes + gone), m.Reserved(turn, 1.0)))
        return events

    rounds = [[event for node in range(nodes) for event in _joins(node)]]
    rounds.append([Heard(_who(b"n", node), m.Reserved(turn, 1.0)) for node in range(nodes)])
    rounds += [round_of(number) for number in range(ROUNDS)]
    began = time.thread_time()
    for now, events in enumerate(rounds):
        for event in events:
            machine.handle(event, float(now))
        machine.tick(float(now))
    return sum(map(len, rounds)), time.thread_time() - began


def run_dispatch(nodes: int) -> tuple[int, float]:
    """The same; an event is a task that is placed, or a server's message with the outcome of one."""
    machine = Dispatch(Limits())
    servers = nodes * SERVERS
    count = min(TASKS_EACH * servers, MAX_TASKS)
    for server in range(servers):
        machine.handle(ServerUsable(_who(b"s", server), _who(b"n", server // SERVERS), 1), 0.0)
    machine.flush(0.0)
    machine.define(FUNCTION, PAYLOAD)
    tasks = [Submission(CLIENT_MADE + 1 + number, FUNCTION, PAYLOAD) for number in range(count)]
    heard: dict[Incarnation, int] = {}
    events = len(tasks)
    began = time.thread_time()
    actions = [action for task in tasks for action in machine.submit(task, 0.0)]
    actions += machine.flush(0.0)
    while actions:
        answers = []
        for action in actions:
            if isinstance(action, Say) and isinstance(action.message, m.Submit):
                for spec in action.message.tasks:
                    number = heard[action.peer] = heard.get(action.peer, 0) + 1
                    outcome = Outcome(spec.id, spec.attempt, End.FINISHED, PAYLOAD)
                    answers += machine.handle(
                        Heard(action.peer, m.Outcomes(number, [outcome], 0.01)), float(number)
                    )
                    events += 1
        actions = answers + machine.flush(1.0)
    taken = time.thread_time() - began
    assert machine.done == len(tasks), f"{machine.done} of {len(tasks)} tasks ended"
    return events, taken


if __name__ == "__main__":
    for nodes in map(int, [word for word in sys.argv[1:] if word != "--json"] or (SMALL, 1000, LARGE)):
        found = at(nodes)
        if "--json" in sys.argv:
            print(json.dumps([found.scheduler, found.dispatch]))
            continue
        print(
            f"{nodes:6} nodes: scheduler {found.scheduler:.1f} us, dispatch {found.dispatch:.1f} us an event"
        )
