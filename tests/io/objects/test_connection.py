"""Objects used from the other end of a connection, both ends in this process."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispycos.errors import DumpError, LocalProtocolError, PeerLost, TaskCancelled, Timeout
from dispycos.objects import wire
from dispycos.objects.access import CALLABLE, OPAQUE, Access, Exposed, exposed
from dispycos.objects.connection import Connection
from dispycos.objects.exports import ROOT
from dispycos.objects.failure import GenericException
from dispycos.objects.pending_call import PendingCall
from dispycos.objects.requests import METHOD
from dispycos.objects.terms import Terms
from tests.helpers import wait_until
from tests.io.objects.pairs import pair


class Root:
    """What the far end shares."""

    os = os
    sys = sys

    def __init__(self) -> None:
        self.items = [1, 2, 3]
        self.held: Any = None
        self.go = threading.Event()

    def add(self, one: int, other: int) -> int:
        return one + other

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def keep(self, value: Any) -> None:
        self.held = value

    def same(self, value: Any) -> bool:
        return value is self.held

    def fail(self, error: BaseException | None = None) -> None:
        raise ValueError("no", 3) from KeyError("cause")

    def leave(self) -> None:
        raise SystemExit(3)

    def wait(self) -> str:
        self.go.wait(30)
        return "went"

    def thread(self) -> str:
        return threading.current_thread().name

    def spin(self) -> None:
        while True:
            time.sleep(0.001)


@pytest.fixture
def far() -> Root:
    return Root()


@pytest.fixture
def ends(far: Root) -> Iterator[tuple[Connection, Connection]]:
    both = pair(None, far, far_terms=Terms(lanes=True))
    yield both
    far.go.set()
    for end in both:
        end.close()
        assert end.link.join(10)


@pytest.fixture
def root(ends: tuple[Connection, Connection]) -> Any:
    return ends[0].root


def test_calls_and_attributes(root, far):
    assert root.add(2, 3) == 5
    root.items.append(4)
    assert far.items == [1, 2, 3, 4]
    root.name = "set from afar"
    assert far.name == "set from afar"
    del root.name
    with pytest.raises(AttributeError, match="no attribute 'name'"):
        root.name
    assert repr(root) == f"<proxy of a {__name__}.Root at the far end>"


def test_built_in_data_comes_by_value_and_containers_that_are_read_stay(root, far):
    items = root.items
    assert (len(items), items[0], list(items), 2 in items, items == [1, 2, 3]) == (
        3,
        1,
        [1, 2, 3],
        True,
        True,
    )
    items[0] = 9
    assert far.items[0] == 9
    value = {"a": [1, (2.5, None), {3}], b"c": range(3), "d": slice(1, 2), "e": 1j, "f": ...}
    assert root.call(dict, value) == value
    assert type(root.call(sorted, [2, 1])) is list


def test_tuples_with_names_print_as_tuples(root):
    name = root.os.uname()
    assert name == tuple(os.uname()) and repr(name) == repr(tuple(os.uname()))
    assert name.sysname == os.uname().sysname
    assert root.sys.version_info == sys.version_info


def test_an_object_that_comes_home_is_itself(root, far):
    thing = object()
    root.keep(thing)
    assert root.same(thing)
    assert root.held is thing
    mine = far.items
    root.keep(root.items)
    assert far.held is mine


def test_callbacks_run_in_the_thread_that_waits_at_any_depth(root):
    me = threading.get_ident()

    def down(n: int) -> int:
        assert threading.get_ident() == me
        return n if not n else root.call(down, n - 1) + 1

    for _ in range(5):
        assert root.call(down, 30) == 30


def test_errors_keep_type_arguments_cause_and_the_other_ends_traceback(root):
    with pytest.raises(ValueError) as caught:
        root.fail()
    assert caught.value.args == ("no", 3)
    assert isinstance(caught.value.__cause__, KeyError)
    text = "".join(caught.value.__notes__)
    assert "in fail" in text and "objects/connection" not in text


def test_a_file_that_an_error_is_about_is_told(root):
    for fail, files in ((lambda: root.os.listdir("/none"), ("/none", None)),
                        (lambda: root.os.rename("/none", "/too"), ("/none", "/too"))):  # fmt: skip
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: '/none'") as caught:
            fail()
        assert (caught.value.filename, caught.value.filename2) == files


def test_no_class_derives_from_what_is_at_the_other_end(root):
    with pytest.raises(TypeError, match="no class here can derive from one of the far end: define it there"):

        class Mine(root.os.PathLike):
            pass


def test_what_would_end_the_other_program_does_not_end_this_one(root):
    with pytest.raises(GenericException, match="SystemExit: 3"):
        root.leave()
    assert root.add(1, 1) == 2


def test_ctrl_c_in_a_callback_ends_the_call_that_waits_for_it(root):
    def interrupted() -> None:
        raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        root.call(lambda: root.call(interrupted))
    assert root.add(1, 1) == 2


def test_a_value_that_cannot_be_sent_is_an_error_where_it_is(root):
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DumpError, match="too deeply"):
        root.keep(deep)
    assert root.add(1, 1) == 2
    while deep:
        deep = deep[0]


def test_references_are_counted_and_dropped(ends, root, far):
    connection = ends[1]
    items = root.items
    again = root.items
    assert again is items
    held = connection.exported
    del items, again
    gc.collect()
    wait_until(lambda: connection.exported == held - 1, what="the reference to be dropped")
    assert root.items == [1, 2, 3]


def test_a_pending_call_is_waited_for_in_three_ways(ends, root, far):
    connection = ends[0]

    def ask() -> Any:
        return connection.begin(METHOD, root._number, "add", (1, 2), {})

    assert ask().result(10) == 3

    async def main() -> Any:
        return await ask()

    assert asyncio.run(main()) == 3
    slow = connection.begin(METHOD, root._number, "wait", (), {})
    with pytest.raises(Timeout, match=r"0\.05 s"):
        slow.result(0.05)
    far.go.set()
    assert slow.result(10) == "went"


def test_all_calls_fail_at_the_end_though_others_are_given_up_meanwhile(ends, root, far):
    connection = ends[0]

    class Shrinking(dict[int, Any]):
        """What somebody sees in it another thread has taken out a moment later."""

        def __iter__(self) -> Iterator[int]:
            return iter([*self.keys(), -1])

    connection._pending = Shrinking(connection._pending)
    calls = [connection.begin(METHOD, root._number, "wait", (), {}) for _ in range(3)]
    ends[1].close()
    for call in calls:
        with pytest.raises(OSError):
            call.result(10)


def test_lanes_are_threads_by_number(ends, root):
    connection = ends[0]

    def ask(lane: int, name: str) -> Any:
        return connection.begin(METHOD, root._number, name, (), {}, lane=lane)

    waiting = ask(1, "wait")
    names = [ask(lane, "thread").result(10) for lane in (2, 2, 3, wire.FRESH)]
    assert names[0] == names[1] and len(set(names)) == 3
    assert not waiting.done()
    with pytest.raises(TaskCancelled, match="no main thread"):
        ask(wire.MAIN, "thread").result(10)


def test_what_gets_no_thread_is_answered(ends, root, monkeypatch):
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    method = root._number, "thread", (), {}
    ends[0].begin(METHOD, *method).result(10)
    monkeypatch.setattr(threading.Thread, "start", start)
    for lane in (7, wire.FRESH):
        with pytest.raises(TaskCancelled, match="it gets no thread: can't start new thread"):
            ends[0].begin(METHOD, *method, lane=lane).result(10)
    assert root.add(1, 2) == 3


def test_more_calls_than_are_taken_are_an_error_here_and_the_end_there(ends, root, monkeypatch):
    monkeypatch.setattr(wire, "MOST_CALLS", 20)
    monkeypatch.setattr(wire, "MOST_ASKED", 10)
    wait = root._number, "wait", (), {}
    asked = [ends[0].begin(METHOD, *wait) for _ in range(10)]
    ends[0].cancel(asked.pop())  # which is not answered yet
    with pytest.raises(LocalProtocolError, match="10 calls of the far end wait for their answers already"):
        for _ in range(3):
            # It may be answered meanwhile.
            asked.append(ends[0].begin(METHOD, *wait))
    monkeypatch.setattr(wire, "MOST_ASKED", 100)
    with pytest.raises(PeerLost):
        for _ in range(30):
            asked.append(ends[0].begin(METHOD, *wait))
        asked[-1].result(10)
    wait_until(lambda: "more than 20 calls" in ends[1].link.over, what="the peer that broke the rules")


def test_a_wait_without_limit_hears_of_the_loss_though_another_thread_tells():
    class Over:
        def await_answer(self, pending: PendingCall, timeout: float | None) -> bool:
            return False  # nothing more will be read

        def abroad(self) -> None:
            return None

    pending = PendingCall(99, 99, Over())
    threading.Timer(0.05, pending.fail, [PeerLost("gone")]).start()
    with pytest.raises(PeerLost, match="gone"):
        pending.result()


def test_who_reads_no_answer_is_not_waited_for(ends, root):
    # The delivery answers this itself, and must not wait until there is room.
    ends[1].link._session.queued = 1 << 40  # as if far too much waited to be read
    ends[0].link.send(wire.pack(wire.CALL, 1000, 1), (b"no request",))
    wait_until(lambda: ends[1].link.over == "the peer does not read its answers", what="the end")
    wait_until(lambda: ends[0].closed and ends[1].closed, what="both to end")


def test_a_call_that_nobody_waits_for_is_stopped(ends, root):
    connection = ends[0]
    running = connection.begin(METHOD, root._number, "spin", (), {})
    queued = connection.begin(METHOD, root._number, "add", (1, 2), {})
    connection.cancel(queued)
    connection.cancel(running)
    with pytest.raises(TaskCancelled):
        running.result(10)
    assert root.add(1, 1) == 2  # its lane is free


def test_the_loss_of_the_other_end_fails_every_wait_and_lets_all_go(ends, root, far):
    root.keep(object())
    waiting = ends[0].begin(METHOD, root._number, "wait", (), {})
    ends[1].close()
    with pytest.raises(PeerLost):
        waiting.result(10)
    with pytest.raises(PeerLost):
        root.add(1, 2)
    assert "a closed connection" in repr(root)
    wait_until(lambda: not ends[0].exported and not ends[1].exported, what="all to be let go")


# Tables.


class Service:
    secret = 42

    def exposed_open(self) -> str:
        return "open"

    def hidden(self) -> str:
        return "hidden"

    @exposed
    def marked(self) -> Any:
        return Part()

    def exposed_call(self, function: Callable[[int], int]) -> int:
        return function(1)


class Part:
    def exposed_name(self) -> str:
        return "part"


def table(value: Any) -> Access:
    if callable(value) and not isinstance(value, type):
        return CALLABLE
    return Exposed() if isinstance(value, Service | Part) else OPAQUE


@pytest.fixture
def service() -> Iterator[Any]:
    both = pair(None, Service(), far_terms=Terms(access=table))
    yield both[0].root
    for end in both:
        end.close()
        assert end.link.join(10)


@pytest.mark.row("GN-05")
def test_only_what_a_table_names_is_reached(service):
    assert service.open() == "open"
    assert service.marked().name() == "part"
    assert service.call(lambda n: n + 1) == 2
    connection, number = service._connection, service._number
    for name in (
        "hidden", "secret", "exposed_hidden", "__class__", "__dict__", "__init__", "__getattribute__", "mro",
        "__reduce_ex__", "_is_exposed", "__globals__", "__self__", "{0.__class__}", "", "open.__func__",
    ):  # fmt: skip
        for ask in (
            lambda name=name: connection.get(number, name),
            lambda name=name: connection.method(number, name, (), {}),
            lambda name=name: connection.set(number, name, 1),
            lambda name=name: connection.delete(number, name),
        ):
            with pytest.raises(AttributeError, match="cannot access"):
                ask()
    assert Service.secret == 42
    function = service.open
    method = connection.get(number, "open")
    with pytest.raises(AttributeError, match="cannot access"):
        method.__func__
    with pytest.raises(AttributeError, match="cannot access"):
        connection.get(method._number, "__globals__")
    assert function() == method() == "open"


def test_references_that_several_threads_read_at_once_are_one_proxy_and_all_counted():
    """Or the other end would keep, for as long as the connection lasts, what nobody here refers to."""
    near, far = pair(None, Root())
    shape = near.root._shape
    near.close()  # so that it is not told of references that it never sent
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        kept: list[list[Any]] = []
        together = threading.Barrier(4)

        def read() -> None:
            mine = []
            for number in range(100, 600):
                together.wait(20)
                mine.append(near._table.proxy(number, shape))
            kept.append(mine)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        sys.setswitchinterval(before)
    for proxies in zip(*kept, strict=True):
        assert len(set(map(id, proxies))) == 1
        assert proxies[0]._count == 4
    far.close()


def test_an_error_of_ours_in_a_job_ends_the_connection_and_no_wait_is_without_end(monkeypatch):
    monkeypatch.setattr("dispycos.objects.jobs.Job.fail", lambda *args, **more: 1 / 0)
    for lane in (1, wire.FRESH):
        near, other = pair(None, Root())
        asked = near.begin(METHOD, ROOT, "fail", (), {}, lane=lane)
        assert isinstance(asked.exception(10), PeerLost)
        for end in (near, other):
            end.close()
            assert end.link.join(10)
