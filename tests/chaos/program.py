"""The client program of a chaos run: submits until it is told to stop, and writes down what it is told.

    program.py SCHEDULER SEED FOLDER [calm]

calm: short tasks that end by themselves, for a load that lasts.

Each task writes to a ledger of its server's own. A line `submitted ID ALLOWED` stands in ours before
the task is submitted, `told ID TYPE` for each MonitorStatus of status_task, `ended ID TYPE` when who
waits for it is told. Prints `running`, and at the end `done`.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

from dispycos import Client, MonitorStatus, Pycos, Task, config, logger

AT_ONCE = 64  # tasks under way
RETRIES = 2
# What a task does, and how often.
KINDS = {"returns": 60, "waits": 25, "raises": 6, "big": 4, "leaves": 2, "crashes": 2, "begets": 1}

CALM = {"returns": 70, "waits": 25, "raises": 5}
LONGEST, LONGEST_CALM = 0.3, 0.02  # seconds


def work(id: int, kind: str, seconds: float, folder: str, task: Any = None) -> Iterator[Any]:
    import os

    def note(text: str) -> None:
        ledger = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(ledger, f"{text}\n".encode())
        os.close(ledger)

    note(f"begun {id}")
    yield task.sleep(seconds)
    if kind == "raises":
        raise ValueError(f"task {id} raises")
    if kind == "leaves":
        os._exit(3)
    if kind == "crashes":
        import ctypes

        ctypes.string_at(0)
    if kind == "begets":
        # A grandchild that leaves our session must not outlive its client.
        import subprocess

        subprocess.Popen(["sleep", "600"], start_new_session=True)
    value = bytes(300_000) if kind == "big" else id * 3 + 1
    note(f"done {id}")
    return value


class Run:
    """One run of it."""

    def __init__(self, folder: str, seed: int, calm: bool) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.ledger = open(f"{folder}/client", "a", buffering=1)  # noqa: SIM115 - until the program ends
        self.ids: dict[Any, int] = {}  # remote task -> id
        self.early: list[Any] = []  # remote tasks whose id we do not know yet, or that end twice
        self.stopping = False
        self.kinds, self.longest = (CALM, LONGEST_CALM) if calm else (KINDS, LONGEST)

    def note(self, *words: object) -> None:
        print(*words, file=self.ledger)

    def watch(self, task: Any = None) -> Iterator[Any]:
        """The status_task."""
        task.set_daemon()
        while True:
            message = yield task.receive()
            if isinstance(message, MonitorStatus):
                if (number := self.ids.pop(message.info, None)) is None:
                    self.early.append(message.info)
                else:
                    self.note("told", number, name_of(message.type))

    def submit(self, client: Client, id: int, room: Any, task: Any = None) -> Iterator[Any]:
        kind = self.random.choices(list(self.kinds), list(self.kinds.values()))[0]
        seconds = self.random.random() ** 3 * self.longest
        submitter = client.options(retries=RETRIES)
        make = submitter.io_rtask if kind == "waits" else submitter.rtask
        self.note("submitted", id, 1 + RETRIES)
        rtask = yield make(work, id, kind, seconds, self.folder)
        if rtask in self.early:
            # It ended before we knew its handle.
            self.early.remove(rtask)
            self.note("told", id, "early")
        else:
            self.ids[rtask] = id
        end = yield rtask()
        if isinstance(end, MonitorStatus):
            self.note("ended", id, name_of(end.type))
            assert end.value, f"no reason for {end}"
        else:
            assert len(end) == 300_000 if kind == "big" else end == id * 3 + 1, (id, kind, end)
            self.note("ended", id, "finished")
        room.send(None)

    def main(self, client: Client, task: Any = None) -> Iterator[Any]:
        assert (yield client.schedule(WHERE)) == 0
        print("running", flush=True)
        number = under_way = 0
        while not self.stopping or under_way:
            while under_way < AT_ONCE and not self.stopping:
                Task(self.submit, client, number, task)
                number, under_way = number + 1, under_way + 1
            yield task.receive()
            under_way -= 1
        for _ in self.early:
            self.note("told", -1, "nobody knows it")
        print("all ended", flush=True)
        assert (yield client.close()) == 0
        print("done", number, flush=True)


def name_of(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(getattr(kind, "name", kind))


if __name__ == "__main__":
    WHERE, SEED, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    config.MinPulseInterval = 0.2
    logger.setLevel("INFO")
    this = Run(FOLDER, SEED, calm=sys.argv[4:] == ["calm"])

    def read() -> None:
        sys.stdin.readline()
        this.stopping = True

    Pycos(node="127.0.0.1", name="chaos", discover_peers=False)
    threading.Thread(target=read, daemon=True).start()
    client = Client([work], status_task=Task(this.watch), pulse_interval=0.4)
    Task(this.main, client).value()
