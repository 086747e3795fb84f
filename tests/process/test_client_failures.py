"""Tasks that fail, and requests that are refused."""

from __future__ import annotations

import copy
import gc
import importlib
import os
import pickle
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dispycos import (
    Client,
    LocalCluster,
    Location,
    MessageTooLarge,
    MonitorStatus,
    RemoteError,
    Task,
    TaskRejected,
    keyfile,
)
from dispycos.config import MIB, Limits
from dispycos.model import Role
from dispycos.options import Options
from dispycos.runtime import runtime
from tests.helpers import wait_until
from tests.process.clusters import (
    echo,
    pid,
    run,
    scheduled,
    two_servers,
)


def fails(kind: Any, *args: Any) -> Any:
    yield
    raise kind(*args)


@pytest.mark.row("KE-08")
def test_a_failure_that_nobody_asks_for_is_told_once_when_its_last_handle_goes(cluster, caplog):
    def unasked() -> list[str]:
        return [text for text in caplog.messages if "nobody asked for its result" in text]

    def body(client: Client, task: Any) -> Any:
        for kind in (KeyError, IndexError):
            rtask = yield client.rtask(fails, kind, "unasked")
            while not rtask._end:
                yield task.sleep(0.01)
            assert not unasked()
            if kind is KeyError:
                yield rtask()  # somebody asks
        del rtask
        gc.collect()

    scheduled(body, fails)
    wait_until(unasked)
    (line,) = unasked()
    assert "fails/" in line and "IndexError: unasked" in line and "raise kind(*args)" in line


@pytest.mark.row("KE-08")
def test_of_a_thousand_failures_that_nobody_asks_for_a_few_are_told(cluster, caplog):
    def body(client: Client, task: Any) -> Any:
        for _ in range(1000):
            yield client.rtask(fails, KeyError, "one of many")

    scheduled(body, fails)
    assert 1 <= sum("nobody asked for its result" in text for text in caplog.messages) <= 20


@pytest.mark.row("R-01", "KE-06")
def test_a_failed_task_gives_its_status_or_raises_its_exception(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(fails, KeyError, "missing")
        status = yield rtask()
        assert isinstance(status, MonitorStatus)
        assert status.type is KeyError
        assert status.info == rtask
        assert "raise kind(*args)" in status.value
        with pytest.raises(KeyError, match="missing") as caught:
            yield rtask.result()
        assert "raise kind(*args)" in str(caught.value.__cause__)

    scheduled(body, fails)


class Odd(Exception):
    """Can't be made from what it keeps."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")


def end_itself(how: str) -> Any:
    yield
    if how == "exit":
        sys.exit(3)
    if how == "odd":
        raise Odd(1, 2)
    if how == "stop":
        raise StopIteration(5)
    if how == "deep":
        return end_deep(0)
    raise {"keyboard": KeyboardInterrupt, "generator": GeneratorExit, "memory": MemoryError}[how]()


def end_deep(n: int) -> int:
    return end_deep(n + 1)


@pytest.mark.row("R-02", "R-04")
def test_whatever_a_task_raises_is_its_failure_and_the_server_lives(cluster):
    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        location = (yield client.servers())[0]
        before = yield (yield client.rtask_at(location, pid))()
        for how in ("exit", "odd", "stop", "deep", "keyboard", "generator", "memory"):
            rtask = yield client.rtask_at(location, end_itself, how)
            status = yield rtask()
            assert isinstance(status, MonitorStatus), (how, status)
            assert isinstance(status.type, type), how
            assert issubclass(status.type, BaseException), how
            assert str(status.value), how
            assert (yield (yield client.rtask_at(location, pid))()) == before, how

    scheduled(body, end_itself, end_deep, Odd, pid)


def strange() -> Any:
    class Unknown(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("never pickled")

    yield
    raise Unknown("from afar")


@pytest.mark.row("R-02", "ST-10")
def test_an_exception_that_cannot_travel_is_a_remote_error_with_its_text(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(strange)
        status = yield rtask()
        assert status.type is RemoteError
        assert "Unknown" in status.value
        assert "from afar" in status.value

    scheduled(body, strange)


@pytest.mark.row("DC-51")
def test_a_module_that_is_missing_there_is_named(cluster):
    def needs() -> Any:
        yield
        import no_such_module_at_all

        return no_such_module_at_all

    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.rtask(needs))()
        assert status.type is ModuleNotFoundError
        assert "no_such_module_at_all" in status.value

    scheduled(body)


@pytest.mark.row("DC-51")
def test_a_function_that_needs_a_module_of_the_program_says_how_it_gets_there(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = importlib.import_module("only_here")

    def needs() -> Any:
        yield
        return only_here.x

    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.rtask(needs))()
        first, second = status.value.splitlines()  # nothing of ours between the user and the reason
        assert first == "ModuleNotFoundError: No module named 'only_here'"
        assert re.match(r"server 127\.0\.0\.1:\d+ of node \S+ has no module only_here: ", second)
        assert second.endswith("let it travel among the components, Client([.., only_here])")

    scheduled(body)


class Picky:
    """Can be pickled, and loaded nowhere."""

    def __reduce__(self) -> Any:
        return (int, ("no number",))


def picky() -> Any:
    yield
    return Picky()


@pytest.mark.row("DC-22")
def test_a_result_that_cannot_be_loaded_says_that_the_task_computed_it(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(picky)
        told = f"{rtask} has computed its result, but it can't be loaded in this process"
        with pytest.raises(ValueError, match="no number") as caught:
            yield rtask.result()
        assert caught.value.__notes__ == [told]
        status = yield rtask()
        assert (status.info, status.type) == (rtask, ValueError)
        assert status.value.startswith(f"{told}: ValueError: ")

    scheduled(body)


@pytest.mark.row("DC-40")
def test_requests_before_scheduling_and_after_closing_are_refusals(cluster):
    def main(task: Any = None) -> Any:
        client = Client([echo])
        refused = yield client.rtask(echo)
        assert not isinstance(refused, Task)
        assert refused.type is TaskRejected
        assert "schedule" in refused.value
        assert (yield client.servers()) == []
        assert (yield client.nodes()) == []
        assert (yield client.tasks()) == []
        assert client.suspend_node("127.0.0.1") == -1
        assert (yield client.close()) == 0
        assert (yield client.schedule()) == 0
        assert (yield (yield client.rtask(echo, 1))()) == ((1,), {})
        assert (yield client.close()) == 0
        assert (yield client.close()) == 0
        refused = yield client.rtask(echo)
        assert refused.type is TaskRejected
        assert "closed" in refused.value
        assert (yield client.nodes()) == []

    run(main)


@pytest.mark.row("DC-17", "DC-40")
def test_who_uses_a_refusal_as_a_task_is_told_why_it_was_refused(program, caplog):
    def main(task: Any = None) -> Any:
        refused: Any = yield Client([echo]).rtask(echo)
        assert isinstance(refused, MonitorStatus)
        for use in (
            lambda: refused(),
            lambda: refused.value(),
            lambda: refused.result(),
            lambda: refused.finish(1),
            lambda: refused.send("hello"),
            lambda: refused.terminate(),
        ):
            with pytest.raises(
                TaskRejected, match=r"was refused.*not scheduled yet: `yield client.*isinstance"
            ):
                use()
        with pytest.raises(TaskRejected, match=r"to wait for, .*was refused.*not scheduled yet"):
            yield refused
        assert not hasattr(refused, "send")
        # It is a status like any other: it can be compared, and sent on.
        assert pickle.loads(pickle.dumps(refused)) == copy.copy(refused) == refused

    run(main)
    # Who does not use it reads it, too.
    assert "a call is refused: the client is not scheduled yet: `yield client.schedule()`" in caplog.text


@pytest.mark.row("DC-17", "R-33")
def test_refusals_are_told_once_for_each_reason(caplog):
    client = Client()
    for _ in range(3):
        client.rtask(echo)
        client.options(retries=1).submit(echo)
    assert caplog.text.count("a call is refused: the client is not scheduled yet: `client.schedule()") == 1


@pytest.mark.row("DC-18")
def test_an_unknown_place_is_refused_at_once(cluster):
    def body(client: Client, task: Any) -> Any:

        for place in (Location("127.0.0.1", 1), "10.255.255.1", "no.such.host.example"):
            refused = yield client.rtask_at(place, echo)
            assert not isinstance(refused, Task)
            assert refused.type is TaskRejected

    scheduled(body, echo)


@pytest.mark.row("DC-18", "DC-33", "DC-34")
def test_a_node_s_address_means_any_server_there(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask_at("127.0.0.1", pid)
        if isinstance(rtask, MonitorStatus):  # the node is not ours yet
            yield (yield client.rtask(pid))()
            rtask = yield client.rtask_at("127.0.0.1", pid)
        assert rtask.location in (yield client.servers())
        assert (yield client.nodes()) == ["127.0.0.1"]
        yield rtask()

    scheduled(body, pid)


def fills(size: int) -> Any:
    yield
    return b"x" * size


@pytest.fixture
def narrow(program: None) -> Iterator[LocalCluster]:
    """A cluster in which the longest message is 1 MiB."""
    roles = Role.PEER | Role.CLIENT | Role.SCHEDULER
    limits = replace(Limits(), max_message_bytes=MIB)
    runtime.network(Options(hosts=("127.0.0.1",), roles=roles, limits=limits), keyfile.throwaway())
    with LocalCluster(1) as cluster:
        yield cluster


@pytest.mark.row("R-23")
def test_a_result_that_is_too_large_for_the_wire_is_a_failure_that_says_so(narrow):
    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.rtask(fills, 2 * MIB))()
        assert isinstance(status, MonitorStatus)
        assert status.type is MessageTooLarge, status.value
        assert "the result can't be sent" in status.value
        assert "max_message_bytes=1048576" in status.value
        assert len((yield (yield client.rtask(fills, MIB // 2))())) == MIB // 2

    scheduled(body, fills)


@pytest.mark.row("R-23")
def test_code_that_is_too_large_for_the_wire_is_said_where_it_is_asked_for(narrow):
    many = b"x" * (2 * MIB)

    def holds() -> Any:
        yield
        return len(many)

    def body(client: Client, task: Any) -> Any:
        with pytest.raises(MessageTooLarge, match=r"holds and what it refers to have .* bytes, more than"):
            client.rtask(holds)
        assert len((yield (yield client.rtask(fills, 10))())) == 10

    scheduled(body, fills)
    with pytest.raises(AssertionError, match="MessageTooLarge: the components have"):
        scheduled(body, fills, holds)


def forks(how: str) -> Any:
    yield
    child = os.fork()
    if child == 0:
        # What a user should not do: the child goes on as if it were the task.
        if how == "returns":
            return "child"
        raise SystemExit("child")
    os.waitpid(child, 0)
    return "parent"


@pytest.mark.row("R-48")
@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_forked_child_that_goes_on_harms_nobody(cluster, how):
    def body(client: Client, task: Any) -> Any:
        servers = yield two_servers(client, task)
        for _ in range(10):
            assert (yield (yield client.rtask(forks, how))()) == "parent"
        assert (yield (yield client.rtask(pid))()) > 0
        assert (yield two_servers(client, task)) == servers

    scheduled(body, forks, pid)
