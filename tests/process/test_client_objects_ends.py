"""How objects that live in servers end with others: their client, their server."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from dispycos import (
    Client,
    Closed,
    NotSerializable,
    TaskLost,
    TaskRejected,
)
from tests.helpers import wait_until
from tests.process.clusters import LIMIT, opened, scheduled, two_servers
from tests.process.counters import Counter, adds, one


def test_a_client_that_closes_ends_its_objects(cluster, tmp_path: Path):
    note = str(tmp_path / "note")
    client = Client([Counter])
    assert client.schedule().result(LIMIT) == 0
    counter = one(client, Counter, note=note)
    begun = tmp_path / "begun"
    running = counter.touch_and_yield(str(begun))
    wait_until(begun.exists, LIMIT)
    assert client.close().result(LIMIT) == 0
    with pytest.raises((Closed, TaskLost)):
        running.result(LIMIT)
    assert Path(note).read_text() == "closed"
    gone = r"Counter.add\(\) was not called: the client that made <Counter at .*> is closed; an object lives"
    with pytest.raises(Closed, match=gone):
        counter.add()
    assert counter.close().result(LIMIT) is None
    with pytest.raises(TaskRejected, match="the client is closed"):
        one(client, Counter)


def test_calls_of_an_object_whose_server_is_killed_fail_with_the_reason(cluster, tmp_path: Path):
    def body(client: Client, task: Any) -> Any:
        first, second = yield two_servers(client, task)
        counter = yield client.object_at(first, Counter)
        victim = yield counter.pid()
        begun = tmp_path / "begun"
        running, waiting = counter.touch_and_wait(str(begun)), counter.add()
        while not begun.exists():
            yield task.sleep(0.01)
        elsewhere = yield client.io_rtask_at(second, adds, counter, 1)
        os.kill(victim, signal.SIGKILL)
        for call in (running, waiting):
            with pytest.raises(TaskLost, match="SIGKILL"):
                yield call
        with pytest.raises(TaskLost, match="SIGKILL"):
            yield counter.add()
        with pytest.raises(TaskLost, match=r"Counter.add\(\) gets no answer"):
            yield elsewhere.result()

    scheduled(body, Counter)


def test_what_can_not_be_had_is_said(cluster):
    client = Client()
    with pytest.raises(TaskRejected, match="not scheduled yet"):
        one(client, Counter)
    with opened() as client:
        with pytest.raises(TypeError, match="must be a class or a function"):
            client.object_at(None, 5)
        with pytest.raises(ValueError, match="can't be retried"):
            client.options(retries=1).object_at(None, Counter)
        with pytest.raises(TaskRejected, match=r"no server or node at 203\.0\.113\.9"):
            client.object_at("203.0.113.9", Counter).result(LIMIT)
        with pytest.raises(NotSerializable, match="argument 1 of"):
            client.object_at(None, Counter, threading.Lock())
        with pytest.raises(ValueError, match="timeout"):
            one(client, Counter).add.options(timeout=-1)
