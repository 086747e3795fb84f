"""Threads of a gateway's far end: which one runs what it is sent."""

from __future__ import annotations

from dispycos.gateways.threads import Threads


def test_what_waits_for_the_main_thread_never_runs_once_the_near_end_is_gone():
    threads = Threads("main_thread_only")
    ran = []

    def first():
        ran.append("first")
        assert threads.close()  # as the link does when it is lost
        return lambda: None

    def second():
        ran.append("second")
        return lambda: None

    threads.put(first, ran.append)
    threads.put(second, ran.append)
    threads.run()
    assert ran == ["first"]
