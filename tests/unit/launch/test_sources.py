"""What travels to a bare Python is read by several threads at once: one for each host."""

import gc
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dispycos.launch import sources

MAINS = ("dispycos.launch.far_node", "dispycos.launch.install", "dispycos.gateways.socketserver")


class Cycle:
    """Garbage whose end lets other threads run, as any finalizer may, and leaves the next."""

    going = False

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        time.sleep(0)
        if Cycle.going:
            Cycle()


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads that switch, and collect garbage, very often."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sources._pack.cache_clear()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(100)
    Cycle.going = True
    Cycle()
    yield
    Cycle.going = False
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.mark.row("EX-01")
@pytest.mark.usefixtures("switching")
def test_threads_may_pack_sources_at_once() -> None:
    packed: dict[str, bytes] = {}
    failures: list[BaseException] = []

    def pack(main: str) -> None:
        try:
            packed[main] = sources.pack_sources(main)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=pack, args=(main,)) for main in MAINS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert packed == {main: sources.pack_sources(main) for main in MAINS}
