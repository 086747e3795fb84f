"""What executors share: when they let go of what they run on."""

from __future__ import annotations

import signal
import threading

import pytest

from dispycos.client.executor import Future, PoolExecutor
from tests.helpers import wait_until


class Endless(PoolExecutor):
    """Its calls end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def _begin(self, fn, args, kwargs):
        return Future()

    def _width(self):
        return 1

    def _release(self):
        self.released.set()


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_executor_whose_shutdown_was_interrupted_lets_go_when_its_last_call_ends(interruptible):
    executor = Endless()
    future = executor.submit(abs, 1)

    def interrupt():
        wait_until(lambda: executor._awaited, what="somebody to wait")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        executor.shutdown()
    thread.join()
    assert not executor.released.is_set()
    future.set_result(1)
    assert executor.released.wait(5)
