"""The reactor's thread: what is asked of it after its end."""

from __future__ import annotations

import weakref

from dispycos.net.reactor import Reactor


class Listener:
    """Somebody who is to be called."""

    def __init__(self) -> None:
        self.called = 0

    def call(self) -> None:
        self.called += 1


def test_what_is_called_after_the_end_is_neither_run_nor_kept() -> None:
    reactor = Reactor.in_thread()
    reactor.stop()
    listener = Listener()
    for _ in range(3):
        reactor.call(listener.call)
    assert listener.called == 0
    kept = weakref.ref(listener)
    del listener
    assert kept() is None
