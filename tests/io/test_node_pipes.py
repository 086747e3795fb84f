"""The pipes, pages and outputs between a node's processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.errors import RemoteProtocolError
from dispycos.model import Payload
from dispycos.node import page
from dispycos.node.events import ForkServer, ServerStartFailed
from dispycos.node.output import Output
from dispycos.node.page import Counters, Page, StepWatch
from dispycos.node.pipe import MAX_JSON, Decoder, LoopPipe, Pipe, Said, encode
from dispycos.node.processes import Processes
from dispycos.node.start import pack, unpack
from dispycos.printer import Printer


async def until(condition: Callable[[], Any], timeout: float = 5.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  # conditions of the system, nobody sets an event
            await asyncio.sleep(0.001)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]  # a coroutine function


# Messages.


@pytest.mark.rule("N4")
def test_a_message_arrives_whole_however_its_bytes_come() -> None:
    said = Said("fork", {"index": 3, "text": "x\n"}, b"body" * 100)
    data = encode(said) + bytes(said.body)
    for size in (1, 7, len(data)):
        decoder = Decoder(max_body=1000)
        found = [one for at in range(0, len(data), size) for one in decoder.feed(data[at : at + size])]
        assert [(one.what, one.values, one.body) for one in found] == [("fork", said.values, said.body)]


@pytest.mark.row("SE-24")
@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!IQ", MAX_JSON + 1, 0),
        struct.pack("!IQ", 10, 1 << 40),
        struct.pack("!IQ", 2, 0) + b"[]",
        struct.pack("!IQ", 4, 0) + b"nope",
        encode(Said("x", {}, b"", (1,))),  # its descriptor did not come
        b"".join(
            [
                struct.pack("!IQ", len(text), 0) + text
                for text in [json.dumps({"what": 1, "descriptors": 0}).encode()]
            ]
        ),
        struct.pack("!IQ", 60_000, 0) + b"[" * 60_000,
    ],
    ids=["too long", "too much", "no object", "no JSON", "no descriptor", "no name", "too deep"],
)
def test_a_hostile_message_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Decoder(max_body=1000).feed(data)


@pytest.mark.row("SE-24")
@pytest.mark.parametrize("value", [True, "1", None, 1.5, [1]])
def test_a_number_is_a_number(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        Said("forked", {"pid": value}).number("pid")


@pytest.mark.row("SE-51")
def test_descriptors_travel_with_their_messages_in_order() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        heard: list[Said] = []
        ends: list[str] = []
        pipe = LoopPipe(asyncio.get_running_loop(), ours, lambda said: None, ends.append)
        other = LoopPipe(asyncio.get_running_loop(), theirs, heard.append, ends.append, max_body=10**8)
        pipe.say(Said("code", {}, b"x" * 20_000_000))
        written = []
        for index in range(20):
            read, write = os.pipe()
            written.append(write)
            pipe.say(Said("fork", {"index": index}, descriptors=(read,)))
        await until(lambda: len(heard) == 21)
        assert len(heard[0].body) == 20_000_000
        for index, said in enumerate(heard[1:]):
            os.write(written[index], b"%d" % index)
            assert os.read(said.descriptors[0], 10) == b"%d" % said.number("index")
            assert not os.get_inheritable(said.descriptors[0])
            os.close(said.descriptors[0])
            os.close(written[index])
        other.close()
        await until(lambda: ends)
        pipe.say(Said("late", {}, descriptors=(os.dup(0),)))
        pipe.close()

    run(test)


def test_the_blocking_end_speaks_and_hears_the_same() -> None:
    ours, theirs = socket.socketpair()
    one, two = Pipe(ours, 100), Pipe(theirs, 100)
    one.say(Said("a", {}, b"1"))
    one.say(Said("b"))
    first = two.hear()
    assert first
    assert (first.what, first.body, two.waiting) == ("a", b"1", True)
    second = two.hear()
    assert second
    assert second.what == "b"
    one.close()
    assert two.hear() is None
    two.close()


def test_payloads_are_packed_and_unpacked() -> None:
    payloads = [Payload(b"code", (b"one", b"")), None, Payload(b"")]
    sizes, body = pack(*payloads)
    found = unpack(json.loads(json.dumps(sizes)), body)
    assert found == payloads


# Pages.


@pytest.mark.row("R-05")
def test_a_page_shows_what_began() -> None:
    descriptor = page.make()
    server = Page(descriptor)
    server.begin(7, io=False)
    server.begin(3, io=True)
    server.count(2, 8)
    server.enter()
    assert page.read(descriptor) == Counters(begun=7, begun_io=3, running=2, ended=8, step=1)
    server.begin(1, io=False)
    server.count(-1, -1)
    found = page.read(descriptor, Counters(begun=7, ended=8))
    assert (found.begun, found.running, found.ended) == (7, 0, 8)
    os.close(descriptor)


@pytest.mark.row("R-45")
def test_a_page_that_was_cut_short_harms_nobody() -> None:
    descriptor = page.make()
    Page(descriptor).begin(7, io=False)
    before = page.read(descriptor)
    os.ftruncate(descriptor, 0)
    assert page.read(descriptor, before).begun == 7
    os.close(descriptor)


@pytest.mark.row("R-08")
def test_one_long_step_is_told_from_many_and_from_waiting() -> None:
    descriptor = page.make()
    server = Page(descriptor)
    watch = StepWatch()

    def sample(now: float) -> float:
        return watch.sample(page.read(descriptor).step, now)

    server.enter()
    assert sample(0.0) == 0.0
    assert sample(5.0) == 5.0
    server.leave()
    server.enter()
    assert sample(6.0) == 0.0
    server.leave()
    assert sample(100.0) == 0.0
    assert sample(200.0) == 0.0
    server.enter()
    assert sample(300.0) == 0.0
    assert sample(301.0) == 1.0
    os.close(descriptor)


# Output.


@pytest.mark.row("DN-38", "R-05")
def test_output_arrives_as_whole_lines_and_the_last_are_kept() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        shown, show = os.pipe()
        printer = Printer(loop, show)
        outputs = []
        for name in (b"a", b"b"):
            read, write = os.pipe()
            outputs.append((name, write, Output(loop, read, printer, max_lines=2)))
        for part in (b"first ", b"half\nsecond\nthi", b"rd\nrest"):
            for name, write, _ in outputs:
                os.write(write, part.replace(b"\n", b" " + name + b"\n"))
                await asyncio.sleep(0.001)
        for _, write, output in outputs:
            os.close(write)
            output.close()
            output.close()
        printer.close()
        os.close(show)
        lines = os.read(shown, 10_000).decode().splitlines()
        os.close(shown)
        expected = [f"{text} {name}" for name in "ab" for text in ("first half", "second", "third")]
        assert sorted(lines) == sorted([*expected, "rest", "rest"])
        assert outputs[0][2].after("exit code 1") == "exit code 1; last output:\n    third a\n    rest"

    run(test)


@pytest.mark.row("R-05")
def test_lines_that_were_read_before_a_task_began_are_not_its_own() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        printer = Printer(loop, nowhere)
        begun, was_read = 1, asyncio.Event()

        def last_begun() -> int:
            was_read.set()
            return begun

        read, write = os.pipe()
        output = Output(loop, read, printer, max_lines=9, begun=last_begun)
        os.write(write, b"of the first\nof the")
        await was_read.wait()
        begun = 2
        os.write(write, b" second\nrest")
        os.close(write)
        output.close()
        printer.close()
        os.close(nowhere)
        assert output.after("gone", "said", since=2) == "gone; said:\n    of the second\n    rest"
        assert output.after("gone", "said", since=3) == "gone"

    run(test)


@pytest.mark.row("R-45", "DN-38")
def test_an_output_that_nobody_reads_delays_only_those_who_print() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        shown, show = os.pipe()
        printer = Printer(loop, show)
        read, write = os.pipe()
        os.set_blocking(write, False)
        output = Output(loop, read, printer, max_lines=20)
        line = b"x" * 999 + b"\n"
        sent = stuck = 0
        while stuck < 50:  # until pipe, queue and pipe are full
            try:
                sent += os.write(write, line)
                stuck = 0
            except BlockingIOError:
                stuck += 1
            await asyncio.sleep(0.001)
        assert 1024 * 1024 < sent < 2 * 1024 * 1024
        got = 0
        os.set_blocking(shown, False)

        def take() -> bool:
            nonlocal got
            try:
                got += len(os.read(shown, 1 << 20))
            except BlockingIOError:
                pass
            return got >= sent

        await until(take)
        os.close(write)
        output.close()
        printer.close()
        for descriptor in (shown, show):
            os.close(descriptor)

    run(test)


@pytest.mark.row("DN-38")
def test_a_closed_output_ends_nothing() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        shown, show = os.pipe()
        os.close(shown)
        printer = Printer(loop, show)
        read, write = os.pipe()
        output = Output(loop, read, printer, max_lines=20)
        for _ in range(100):
            os.write(write, b"nobody reads this\n")
            await asyncio.sleep(0)
        os.close(write)
        output.close()
        printer.close()
        os.close(show)

    run(test)


# No descriptor is left.


@contextlib.contextmanager
def room_for(count: int) -> Iterator[None]:
    """This process can open so many more and no other."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, before[1]))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(count):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.row("R-27")
def test_a_message_whose_descriptors_find_no_room_is_heard_without_them() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        heard: list[Said] = []
        ends: list[str] = []
        pipe = LoopPipe(asyncio.get_running_loop(), ours, heard.append, ends.append)
        read, write = os.pipe()
        socket.send_fds(
            theirs, [encode(Said("forked", {"pid": 7}, descriptors=(read, write)))], (read, write)
        )
        os.close(read)
        os.close(write)
        with room_for(1):
            await until(lambda: heard)
        read, write = os.pipe()
        socket.send_fds(theirs, [encode(Said("more", descriptors=(read,)))], (read,))
        os.close(read)
        await until(lambda: len(heard) == 2)
        assert [(said.what, len(said.descriptors)) for said in heard] == [("forked", 1), ("more", 1)]
        assert not ends
        for said in heard:
            os.close(*said.descriptors)
        os.close(write)
        pipe.close()
        theirs.close()

    run(test)


@pytest.mark.row("R-27", "R-79")
def test_a_server_for_which_no_descriptor_is_left_is_told_and_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        fed: list[Any] = []
        said: list[Said] = []
        settings = SimpleNamespace(limits=SimpleNamespace(max_output_lines=5), ports=[0, 0], name="n")
        workspace = SimpleNamespace(path=tmp_path, disclaim=lambda name: None)
        parts: list[Any] = [SimpleNamespace(loop=loop), settings, workspace, None, None]
        processes = Processes(*parts, fed.append)
        folder = SimpleNamespace(server_path=lambda index: str(tmp_path))
        monkeypatch.setattr(processes, "folder", lambda reservation: folder)
        zygote: Any = SimpleNamespace(reservation=1, pipe=SimpleNamespace(say=said.append))
        processes._zygotes[1] = zygote
        failures = 0
        for room in range(20):
            before = len(os.listdir("/proc/self/fd"))
            with room_for(room):
                processes.perform(ForkServer(1, 1))
            if said:
                break
            await asyncio.sleep(0)
            failures += 1
            assert fed == [ServerStartFailed(1, "can't start: Too many open files")] * failures
            assert not processes._servers and len(os.listdir("/proc/self/fd")) == before
        assert failures > 4
        server = processes._servers[1]
        server.problem = "asked too late"
        processes._server_gone(server, None)
        for descriptor in said[0].descriptors:
            os.close(descriptor)

    run(test)
