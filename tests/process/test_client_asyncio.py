"""Clients in asyncio programs: awaiting, cancelling, contexts, several loops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispycos import Client, LocalCluster, MonitorStatus, as_completed, gather, progress, wait
from dispycos.client import surroundings
from dispycos.client.future import FutureCancelled
from dispycos.kernel import event_loop
from dispycos.model import Status
from tests.helpers import wait_until
from tests.process.clusters import LIMIT, opened, waits

pytestmark = pytest.mark.row("DC-60")


def square(n: int) -> int:
    return n * n


def slow(n: int) -> int:
    time.sleep(0.01)
    return n


async def until(condition: Callable[[], object]) -> None:
    """As `wait_until`, with the loop free."""
    await asyncio.to_thread(wait_until, condition, LIMIT)


async def cancelled(awaitable: Any) -> None:
    """Await it in a task of its own, and cancel that one."""

    async def awaits() -> Any:
        return await awaitable

    task = asyncio.create_task(awaits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.row("DC-63", "DC-64")
def test_all_of_it_is_awaited(program: None) -> None:
    async def main() -> None:
        async with LocalCluster(2), Client() as client:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.001)
                    ticks += 1

            ticking = asyncio.create_task(tick())
            assert await client.submit(square, 3) == 9
            assert await client.map(square, range(9)) == [n * n for n in range(9)]
            assert [value async for value in client.map(square, range(9))] == [n * n for n in range(9)]
            futures = [client.submit(slow, n) for n in range(9)]
            assert {future async for future in as_completed(futures)} == set(futures)
            assert set(await progress(futures)) == set(futures)
            assert (await wait(futures)).not_done == set()
            assert await gather(futures) == list(range(9))
            assert await asyncio.gather(*(client.submit(square, n) for n in range(3))) == [0, 1, 4]
            assert await asyncio.wait_for(client.submit(square, 4), LIMIT) == 16
            task = await client.rtask(waits)
            task.send("good morning")
            assert await task.result() == "good morning"
            assert set((await client.run_everywhere(square, 2)).values()) == {4}
            with pytest.raises(ZeroDivisionError):
                await client.submit(divmod, 1, 0)
            ticking.cancel()
            assert ticks > 5  # the loop was never held up
        assert client.work is not None
        assert client.work.state == "closed"

    asyncio.run(main())


@pytest.mark.row("DC-62")
def test_a_cancelled_await_cancels_what_it_waits_for(cluster: LocalCluster) -> None:
    async def main() -> None:
        async with Client() as client:
            running = client.submit(waits)
            await until(running.running)
            await cancelled(running)
            with pytest.raises(FutureCancelled, match="cancelled by asyncio: what awaited it was cancelled"):
                await running
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.submit(waits), 0.05)
            task = await client.rtask(waits)
            await cancelled(task())
            status = await task()
            assert isinstance(status, MonitorStatus)
            assert status.type is Status.TaskTerminated

            kept = client.submit(waits)
            inner = asyncio.ensure_future(kept)
            await cancelled(asyncio.shield(inner))
            await until(kept.running)
            assert not kept.done()
            several = [client.submit(waits) for _ in range(3)]
            await cancelled(gather([*several, kept]))
            await until(lambda: all(future.cancelled() for future in [*several, kept]))

            with pytest.raises(FutureCancelled):
                await inner

            # Who only looks on does not end what he looks at.
            watched = client.submit(slow, 1)
            await cancelled(wait([watched]))
            assert await watched == 1

            # More tasks than servers take, also ahead: the last is not placed.
            work = client.work
            assert work is not None
            many = [client.rtask(waits) for _ in range(600)]
            await cancelled(many[-1])
            await until(lambda: sum(work.load()) == 599)
            await cancelled(client.map(square, range(100)))
            await until(lambda: sum(work.load()) == 599)
            await client.close(terminate=True)

    asyncio.run(main())


def test_a_block_that_is_left_by_an_exception_ends_its_tasks(program: None) -> None:
    async def main() -> None:
        async with LocalCluster(1) as cluster:
            with pytest.raises(ZeroDivisionError):
                async with Client() as client:
                    left = client.submit(waits)
                    await until(left.running)
                    raise ZeroDivisionError
            with pytest.raises(FutureCancelled, match="terminate=True"):
                await left
            with pytest.raises(RuntimeError, match="the client is closed"):
                async with client:
                    pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), Client() as client:
                    await client.submit(waits)
            assert client.work is not None
            assert client.work.state == "closed"
            async with Client() as client:
                # Another client's turn does not come before this one's is over.
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1), Client():
                        pytest.fail("two clients at once")
                with pytest.raises(RuntimeError, match="already scheduled"):
                    async with client:
                        pass
                assert await client.submit(square, 2) == 4
            # Whoever closes it, too, waits for the same end.
            first = cluster.close()
            assert not first.done() and cluster.close() is first
            await asyncio.to_thread(cluster.close)
            assert first.done()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), LocalCluster(1):
                pytest.fail("there was time")
        # It is started all the same, and closed then: in threads of its own.
        await until(lambda: all(thread.name != "dispycos-cluster" for thread in threading.enumerate()))
        assert surroundings.Surroundings.now().private is False

    asyncio.run(main())


def test_a_plain_thread_has_a_client_by_with(cluster: LocalCluster) -> None:
    with Client() as client:
        assert client.submit(square, 5).result(LIMIT) == 25
    with pytest.raises(KeyError), Client() as client:
        left = client.submit(waits)
        wait_until(left.running)
        raise KeyError
    assert left.cancelled()


def test_what_would_block_a_loop_says_what_to_write(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as client:

        async def main(path: str) -> None:
            task = await client.rtask(waits)
            future = client.submit(waits)
            for call in (future.result, future.exception, task.result().result, client.map(slow, [1]).result):
                with pytest.raises(RuntimeError, match="block all that runs there: `await` the operation"):
                    call()
            with pytest.raises(RuntimeError, match=r"`await task.result\(\)` waits for the end of waits"):
                task.value()
            with pytest.raises(RuntimeError, match="`async for` waits for one, `await it` for all"):
                next(client.map(slow, [1]))
            with pytest.raises(RuntimeError, match="use `async with` for a Client"):
                Client().__enter__()
            task.send(1)
            assert task.is_alive() or task.value() == 1  # what has ended is said at once
            assert await task.result() == 1
            assert task.value() == 1
            assert await asyncio.to_thread(client.submit(slow, 2).result, LIMIT) == 2
            future.cancel()
            # A notebook's loop does nothing else while a cell waits.
            monkeypatch.setattr(event_loop, "serves_notebook", lambda: True)
            assert client.submit(slow, 3).result(LIMIT) == 3
            monkeypatch.undo()

        asyncio.run(main(""))


def test_loops_in_several_threads_and_loops_that_end(cluster: LocalCluster, tmp_path: Path) -> None:
    with opened() as client:
        shared = client.submit(waits)
        results: list[Any] = []

        async def main() -> None:
            mine = client.submit(square, 6)
            results.append((await mine, await shared))

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert shared.task is not None
        shared.task.send("both")
        for thread in threads:
            thread.join(LIMIT)
        assert results == [(36, "both")] * 2

        # A loop that is closed while its coroutine waits: nothing is awaited, nothing is cancelled.
        loop = asyncio.new_event_loop()
        left = client.submit(waits)
        coroutine = _await(left)
        step = loop.create_task(coroutine)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert left.task is not None
        left.task.send("still here")
        assert left.result(LIMIT) == "still here"
        step._log_destroy_pending = False  # asyncio's own word on it, which this test knows
        coroutine.close()


async def _await(future: Any) -> Any:
    return await future
