"""Channels in tasks, in asyncio and in plain threads; tasks at the far end."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from dispycos import Task
from dispycos.gateways import Gateway, Group, MultiChannel, RemoteError
from tests.helpers import wait_until
from tests.process.clusters import program

__all__ = ["program"]

pytestmark = pytest.mark.usefixtures("program")

ECHO = "for item in channel: channel.send(item)"
ON_DEMAND = "for item in channel: channel.send(item) if item != 'quiet' else None"


@pytest.fixture(scope="module", params=["", f"//python={sys.executable} -I -S"], ids=["package", "bare"])
def tasks(request):
    made = Group(execmodel="task")
    yield made.makegateway("popen" + request.param)
    made.terminate(5)


# Here.


def test_a_task_sends_and_receives_and_others_go_on(gateway):
    quiet = gateway.remote_exec(ECHO)
    channels = [gateway.remote_exec(ECHO) for _ in range(20)]
    order = []

    def waits(task=None):
        order.append("waits")
        order.append((yield quiet.receive()))

    def asks(channel, number, task=None):
        yield channel.send(number)
        return (yield channel.receive(10))

    waiting = Task(waits)
    asking = [Task(asks, channel, number) for number, channel in enumerate(channels)]
    assert [task.value(20) for task in asking] == list(range(20))
    assert order == ["waits"]
    quiet.send("at last")
    waiting.value(10)
    assert order == ["waits", "at last"]


def test_a_task_has_its_timeout_and_the_item_stays(gateway):
    channel = gateway.remote_exec(ON_DEMAND)

    def times_out(task=None):
        with pytest.raises(TimeoutError, match=r"waited 0\.05 s for an item"):
            yield channel.receive(0.05)
        with pytest.raises(TimeoutError, match="for the end"):
            yield channel.waitclose(0.05)
        channel.send("after")
        return (yield channel.receive(10))

    assert Task(times_out).value(20) == "after"


def test_a_remote_error_is_raised_in_the_task_that_waits(gateway):
    def catches(task=None):
        channel = gateway.remote_exec("channel.send(1); raise ValueError('planted')")
        assert (yield channel.receive()) == 1
        with pytest.raises(RemoteError, match="planted"):
            yield channel.receive()
        with pytest.raises(EOFError):
            yield channel.receive()
        channel = gateway.remote_exec("raise ValueError('second')")
        with pytest.raises(RemoteError, match="second"):
            yield channel.waitclose()
        return "all"

    assert Task(catches).value(20) == "all"


@pytest.mark.rule("K5")
def test_a_tasks_failure_on_a_channel_reaches_its_joiner_without_our_frames(gateway):
    channel = gateway.remote_exec("raise ValueError('planted')")

    def fails(task=None):
        yield channel.receive()

    with pytest.raises(RemoteError, match="planted") as caught:
        Task(fails).result().result(20)
    files = [entry.path.name for entry in caught.traceback]
    assert "test_waiting.py" in files and "core.py" not in files


def test_an_item_that_comes_for_an_ended_task_goes_to_the_next(gateway):
    channel = gateway.remote_exec(ECHO)

    taken = []

    def waits(task=None):
        taken.append((yield channel.receive()))

    for number in range(20):
        taken.clear()
        task = Task(waits)
        wait_until(lambda: channel._pending, what="a task that waits")
        channel.send(number)
        task.terminate()  # before, while or after the item comes
        wait_until(lambda task=task: not task.is_alive(), what="the task's end")
        channel.send("end")
        # If the task had it before it was ended, nobody else gets it.
        got = [channel.receive(10)]
        if got != ["end"]:
            got.append(channel.receive(10))
        assert taken + got == [number, "end"]


def test_asyncio_awaits_and_other_coroutines_go_on(gateway):
    async def ask(number):
        channel = gateway.remote_exec(ECHO)
        await channel.send(number)
        return await channel.receive(10)

    async def main():
        assert await asyncio.gather(*map(ask, range(20))) == list(range(20))
        channel = gateway.remote_exec("for n in range(5): channel.send(n)")
        assert [item async for item in channel] == list(range(5))
        with pytest.raises(RuntimeError, match="async for"):
            iter(channel)
        assert (await gateway._rinfo()).pid == (await gateway._rinfo()).pid
        assert (await gateway.remote_status()).numexecuting >= 0

    asyncio.run(main())


def test_asyncio_has_its_timeouts_and_a_cancelled_wait_takes_nothing(gateway):
    async def main():
        channel = gateway.remote_exec(ON_DEMAND)
        with pytest.raises(TimeoutError, match=r"waited 0\.05 s"):
            await channel.receive(0.05)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(channel.receive(), 0.05)
        waits = asyncio.ensure_future(_receive(channel))
        await asyncio.sleep(0)
        waits.cancel()
        await channel.send("for the next")
        assert await channel.receive(10) == "for the next"

    asyncio.run(main())


async def _receive(channel):
    return await channel.receive()


def test_an_item_that_came_for_a_coroutine_that_is_cancelled_goes_to_the_next(gateway):
    async def main():
        channel = gateway.remote_exec(ECHO)
        for number in range(20):
            waits = asyncio.ensure_future(_receive(channel))
            await asyncio.sleep(0)
            await channel.send(number)
            # The item completes the wait in another thread; the loop does not know it yet.
            (pending,) = channel._pending or [None]
            while pending is not None and not pending.done():
                pass
            waits.cancel()
            assert await channel.receive(10) == number

    asyncio.run(main())


def test_what_a_coroutine_sends_keeps_its_order_though_nobody_takes_it(gateway):
    go = gateway.newchannel()
    channel = gateway.remote_exec(
        """
        go, count = channel.receive()
        go.receive()
        channel.send([len(channel.receive()) for _ in range(count)])
        """
    )

    async def main():
        await channel.send((go, 200))
        sends = [channel.send(b"x" * size) for size in range(100_000, 100_200)]
        small = sends[-1]
        assert not small.done()  # more than the window
        go.send(None)
        await small
        assert await channel.receive(20) == list(range(100_000, 100_200))

    asyncio.run(main())


def test_several_channels_are_one_in_tasks_and_in_asyncio(gateway):
    def task_waits(task=None):
        multi = MultiChannel([gateway.remote_exec("channel.send(channel.receive() * 2)") for _ in range(3)])
        yield multi.send_each(4)
        got = yield multi.receive_each()
        yield multi.waitclose()
        return got

    async def main():
        channels = [gateway.remote_exec(f"raise ValueError('number {n}')") for n in range(3)]
        with pytest.raises(RemoteError, match="number 0"):
            await MultiChannel(channels).waitclose()

    assert Task(task_waits).value(20) == [8, 8, 8]
    asyncio.run(main())


def test_a_plain_thread_and_a_task_share_a_channel(gateway):
    channel = gateway.remote_exec("for number in channel.receive(): channel.send(number)")
    got = []

    def in_task(task=None):
        for _ in range(100):
            got.append((yield channel.receive(20)))

    def in_thread():
        for _ in range(100):
            got.append(channel.receive(20))

    task, thread = Task(in_task), threading.Thread(target=in_thread)
    thread.start()
    channel.send(list(range(200)))
    task.value(20)
    thread.join(20)
    assert sorted(got) == list(range(200))


# There.


async def adds(channel, more):
    async for item in channel:
        await channel.send(item + more)


def doubles(channel, task=None):
    yield channel.send(task is not None)
    while True:
        item = yield channel.receive()
        yield channel.send(item * 2)


def fails(channel):
    yield channel.send(1)
    yield 1 / 0


def times_out(channel):
    try:
        yield channel.receive(0.05)
    except TimeoutError as exc:
        yield channel.send(str(exc))


def sleeps(channel, task=None):
    yield channel.send(1)
    yield task.sleep(1000)


async def with_asyncio_there(channel):
    await channel.send(1)


def asyncio_there(channel):
    import asyncio

    async def main():
        await channel.send(await channel.receive())
        try:
            await channel.receive(0.05)
        except TimeoutError:
            await channel.send("timed out")

    asyncio.run(main())


def test_many_tasks_run_at_once_in_one_thread_there(tasks):
    channels = [tasks.remote_exec(adds, more=number) for number in range(100)]
    for number, channel in enumerate(channels):
        channel.send(number)
    assert [channel.receive(20) for channel in channels] == [2 * number for number in range(100)]
    status = tasks.remote_status()
    assert status.numexecuting >= 100
    for channel in channels:
        channel.close()
    wait_until(lambda: tasks.remote_status().numexecuting < 100, what="the tasks' end")


def test_a_generator_function_gets_its_task_and_waits_by_yield(tasks):
    channel = tasks.remote_exec(doubles)
    assert channel.receive(20) is True
    channel.send(21)
    assert channel.receive(20) == 42


def test_a_task_there_fails_with_its_own_lines(tasks):
    channel = tasks.remote_exec(fails)
    assert channel.receive(20) == 1
    with pytest.raises(RemoteError, match="1 / 0") as caught:
        channel.receive(20)
    assert "ZeroDivisionError" in caught.value.formatted and "dispycos" not in caught.value.formatted


def test_a_task_there_has_its_timeouts(tasks):
    assert "waited 0.05 s" in tasks.remote_exec(times_out).receive(20)


def test_plain_code_runs_beside_tasks(tasks):
    channel = tasks.remote_exec("import threading; channel.send(threading.current_thread().name)")
    assert channel.receive(20) == "MainThread"


def test_a_far_end_ends_with_tasks_in_it(group):
    gateway = group.makegateway("popen//execmodel=task")
    channels = [gateway.remote_exec(sleeps) for _ in range(3)]
    for channel in channels:
        channel.receive(20)
    gateway.exit()
    assert gateway.join(3)


def test_a_bare_far_end_without_tasks_knows_asyncio_but_not_our_kernel(group):
    gateway = group.makegateway(f"popen//python={sys.executable} -I -S")
    channel = gateway.remote_exec(asyncio_there)
    channel.send("there")
    assert channel.receive(20) == "there"
    assert channel.receive(20) == "timed out"
    loaded = gateway.remote_exec("import sys; channel.send('dispycos.kernel.loop' in sys.modules)")
    assert loaded.receive(20) is False
    with pytest.raises(RemoteError, match="not among what travelled"):
        gateway.remote_exec("import dispycos.kernel.loop").waitclose(20)


@pytest.mark.parametrize("model", ["thread", "main_thread_only"])
def test_the_execution_model_says_which_thread_runs_code(group, model):
    gateway: Gateway = group.makegateway(f"popen//execmodel={model}")
    source = "import threading; channel.send(threading.current_thread().name); channel.receive()"
    first = gateway.remote_exec(source)
    assert first.receive(20) == "MainThread"
    second = gateway.remote_exec(source)
    if model == "thread":
        assert second.receive(20) != "MainThread"
    else:
        with pytest.raises(RemoteError, match="runs other code already"):
            second.receive(20)
    first.send(None)
    first.waitclose(20)
    assert gateway.remote_exec(source).receive(20) == "MainThread"
