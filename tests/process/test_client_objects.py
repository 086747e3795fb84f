"""Objects that live in servers, used by the client and by tasks anywhere."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos import (
    Client,
    Closed,
    LocalCluster,
    NotSerializable,
    RemoteError,
    RemoteObject,
    TaskCancelled,
    Timeout,
    expose,
)
from dispycos.kernel import loop
from dispycos.model import Payload
from dispycos.net import remote
from dispycos.objects.remote import Asked
from dispycos.pickling import values
from tests.helpers import wait_until
from tests.process.clusters import LIMIT, opened, run, two_servers
from tests.process.counters import Counter, Meeting, NeverMade, Refuses, adds, computes, hands_on, one


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One of a cluster of two servers, for all tests here."""
    with LocalCluster(2), opened(Counter, Meeting) as made:
        wait_until(lambda: len(made.servers().result()) == 2, LIMIT)
        yield made
    loop.default().terminate()


def stands_for(client: Client, thing: RemoteObject) -> Any:
    """The task that stands for it; None once it has ended."""
    return next((task for task in client.tasks().result() if task == thing._at), None)


@pytest.mark.row("DC-60")
def test_arrays_of_all_kinds_come_back_as_they_are(client: Client):
    from tests.arrays import ODD, PLAIN, is_copy  # which skip this test alone where there is no NumPy

    given = {**PLAIN, **ODD}
    (echoed,), _ = one(client, Counter).echo(given).result(LIMIT)
    for found in (client.submit(dict, given).result(LIMIT), echoed):
        for name, array in given.items():
            assert is_copy(found[name], array), name


@pytest.mark.row("DC-60")
def test_an_object_is_used_in_all_three_ways(client: Client):
    counter = one(client, Counter, 5)
    assert counter.add(step=2).result(LIMIT) == 7
    assert counter.same_thread().result(LIMIT)

    async def program() -> Any:
        return await counter.add(), await counter.late(3), await counter.later(3)

    assert asyncio.run(program()) == (8, 6, 4)
    assert counter.decorated(5).result(LIMIT) == 6

    def main(task: Any = None) -> Any:
        return (yield counter.add()), (yield counter.late(4)), (yield counter.later(4))

    assert run(main) == (9, 8, 5)
    args, kwargs = counter.echo(b"x" * 100_000, [1], key={"a": None}).result(LIMIT)
    assert (args, kwargs) == ((b"x" * 100_000, [1]), {"key": {"a": None}})
    assert repr(counter) == f"<Counter at {counter.location}>"
    assert counter.location in client.servers().result(LIMIT)


def test_two_thousand_calls_are_done_in_order_of_each_caller(client: Client):
    counter = one(client, Counter)
    calls = [counter.add() for _ in range(2000)]
    assert [call.result(LIMIT) for call in calls] == list(range(1, 2001))
    there, elsewhere = counter.location, None
    wait_until(lambda: len(client.servers().result()) == 2, LIMIT)
    elsewhere = next(place for place in client.servers().result() if place != there)
    tasks = [client.io_rtask_at(place, adds, counter, 50).result(LIMIT) for place in (there, elsewhere) * 2]
    found = [task.value(LIMIT) for task in tasks]
    assert all(each == sorted(each) for each in found)
    assert sorted(value for each in found for value in each) == list(range(2001, 2201))


def test_calls_do_not_wait_for_a_task_that_computes(client: Client, tmp_path: Path):
    counter = one(client, Counter)
    begun, end = str(tmp_path / "begun"), tmp_path / "end"
    task = client.rtask_at(counter.location, computes, begun, str(end)).result(LIMIT)
    wait_until(lambda: os.path.exists(begun), LIMIT)
    assert counter.add().result(LIMIT) == 1
    assert task.is_alive()
    end.touch()
    assert task.value(LIMIT) == "computed"


def test_what_a_method_raises_is_raised_with_its_traceback(client: Client):
    counter = one(client, Counter, 4)
    for method in (counter.fail, counter.fail_late):
        with pytest.raises(LookupError) as caught:
            method().result(LIMIT)
        assert caught.value.args == ("nothing there", 4)
        assert "in fail" in str(caught.value.__cause__)
        assert "keeper.py" not in str(caught.value.__cause__)
    # Its process is not ours: what would end that is no more than told.
    with pytest.raises(RemoteError, match="SystemExit: 3"):
        counter.leave().result(LIMIT)
    with pytest.raises(NotSerializable, match=r"what lock\(\) returned: cannot pickle"):
        counter.lock().result(LIMIT)
    with pytest.raises(NotSerializable, match=r"argument 1 of Counter\.add"):
        counter.add(threading.Lock())
    with pytest.raises(TypeError, match="unexpected keyword argument 'stop'"):
        counter.add(stop=1).result(LIMIT)
    with pytest.raises(OSError, match="no room for it") as refused:
        one(client, Refuses)
    assert refused.value.errno == 28
    for error in (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration):
        with pytest.raises(RemoteError, match=f"{error.__name__}: 3"):
            one(client, Refuses, error)
    with pytest.raises(TypeError, match="takes from 1 to 3 positional arguments but 4 were given"):
        one(client, Counter, 1, 2, 3)
    assert counter.add().result(LIMIT) == 5


@pytest.mark.row("GN-05")
def test_hostile_names_are_refused_at_both_ends(client: Client):
    counter = one(client, Counter)
    hostile = ["_hidden", "__dict__x", "value", "__globals__", "add.__func__", "__class__.__init__", ""]
    for name in hostile:
        with pytest.raises(AttributeError, match="a Counter has no"):
            getattr(counter, name)
        # As a peer would that does not ask itself first.
        forged = Asked(counter, name, name, values.dump_call((), {}, name=name), None)
        with pytest.raises(AttributeError, match="a Counter has no"):
            forged.result(LIMIT)
    broken = Asked(counter, "add", "add", Payload(b"no pickle"), None)
    with pytest.raises(pickle.UnpicklingError):
        broken.result(LIMIT)
    with pytest.raises(AttributeError, match="can't be set from afar"):
        counter.value = 5
    with pytest.raises(TypeError, match="can't be called"):
        counter()
    assert counter.add().result(LIMIT) == 1


def test_what_is_exposed_is_chosen(client: Client):
    shared = expose(Counter, methods=["add"], attributes=["value"])
    counter = one(client, shared, 7)
    assert counter.value.result(LIMIT) == 7
    assert dir(counter) == ["add", "close", "location", "value"]
    with pytest.raises(AttributeError):
        counter.echo
    meeting = one(client, expose(Meeting, concurrency=3))
    first, second = meeting.meet(), meeting.meet()
    assert {first.result(LIMIT), second.result(LIMIT)} == {0, 1}
    waits = meeting.wait()
    meeting.say().result(LIMIT)
    assert waits.result(LIMIT) == "heard"


def test_a_call_ends_with_its_deadline_there_too(client: Client, tmp_path: Path):
    counter = client.options(timeout=LIMIT).object_at(None, Counter).result(LIMIT)
    begun, other = str(tmp_path / "begun"), str(tmp_path / "other")
    with pytest.raises(Timeout, match=r"Counter.touch_and_wait\(\) did not end in 0.2 s"):
        counter.touch_and_wait.options(timeout=0.2)(begun).result(LIMIT)
    # The one that never ended does not stand in the way of the next.
    running = counter.touch_and_yield(other)
    waiting = counter.add(100)
    wait_until(lambda: os.path.exists(other), LIMIT)
    assert waiting.cancel()
    assert running.cancel("enough")
    assert not running.cancel()
    with pytest.raises(TaskCancelled, match="enough"):
        running.result()
    wait_until(lambda: os.path.exists(other + ".over"), LIMIT)
    assert counter.add().result(LIMIT) == 1
    own = client.options(timeout=0.2).object_at(None, Counter).result(LIMIT)
    with pytest.raises(Timeout):
        own.touch_and_wait(begun).result(LIMIT)
    made = str(tmp_path / "made")
    with pytest.raises(Timeout, match=r"the constructor of NeverMade did not return in 0.2 s"):
        client.options(timeout=0.2).object_at(None, NeverMade, made).result(LIMIT)
    wait_until(lambda: os.path.exists(made), LIMIT)


def test_an_object_ends_when_it_is_closed(client: Client, tmp_path: Path):
    note = str(tmp_path / "note")
    counter = one(client, Counter, note=note)
    running, waiting = counter.touch_and_wait(str(tmp_path / "begun")), counter.add()
    wait_until(lambda: (tmp_path / "begun").exists(), LIMIT)
    assert stands_for(client, counter).name == "Counter"
    counter.close().result(LIMIT)
    assert Path(note).read_text() == "closed"
    for call in (running, waiting):
        with pytest.raises(Closed, match="this Counter was closed"):
            call.result(LIMIT)
    with pytest.raises(Closed, match="was closed by this program"):
        counter.add()
    counter.close().result(LIMIT)
    wait_until(lambda: stands_for(client, counter) is None, LIMIT)


@pytest.mark.row("R-09")
def test_an_object_goes_when_nobody_refers_to_it(client: Client, tmp_path: Path):
    note = tmp_path / "note"
    counter = one(client, Counter, note=str(note))
    call = counter.add()
    task = stands_for(client, counter)
    del counter
    gc.collect()
    # Who is asked stays.
    assert call.result(LIMIT) == 1
    del call
    gc.collect()
    wait_until(note.exists, LIMIT)
    assert task.finish(LIMIT).result(LIMIT) is None


def test_an_object_stays_while_a_task_has_it(client: Client, tmp_path: Path):
    note = tmp_path / "note"

    def main(task: Any = None) -> Any:
        first, second = yield two_servers(client, task)
        counter = yield client.object_at(first, Counter, note=str(note))
        holder = yield client.io_rtask_at(second, hands_on, counter)
        local = yield client.io_rtask_at(first, hands_on, counter)
        del counter
        gc.collect()
        yield holder.deliver("go")
        assert (yield holder.result()) == 1
        yield local.deliver("go")
        assert (yield local.result()) == 2
        assert not note.exists()

    run(main)


def test_copies_of_a_reference_are_the_reference(client: Client):
    counter = one(client, Counter)
    again = remote.here().load(values.dump([counter, counter]))  # type: ignore[attr-defined]  # Delivery
    assert again[0] is again[1] is counter
    with pytest.raises(TypeError, match="stays in its program"):
        pickle.dumps(counter.add())
