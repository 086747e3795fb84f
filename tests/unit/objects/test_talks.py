"""Who waits in a conversation, and does meanwhile what the other end asks in it."""

from __future__ import annotations

import threading
from collections import deque

from dispycos.objects.talks import Talks


def test_who_waits_gets_the_jobs_of_its_conversation_and_leaves_the_rest():
    talks = Talks()
    assert not talks.give(1, "before")
    talk = talks.enter(1)
    assert talks.give(1, "first") and talks.give(1, "second") and not talks.give(2, "another")
    assert talk.jobs.popleft() == "first"
    inner = talks.enter(1)
    assert inner is talk
    assert talks.leave(inner) == []
    assert talks.leave(talk) == ["second"]
    assert not talks.give(1, "after")


def test_a_thread_may_wait_in_another_conversation_within_its_own():
    talks = Talks()
    outer, inner = talks.enter(1), talks.enter(2)
    assert inner is not outer
    assert talks.give(1, "outer") and talks.give(2, "inner")
    assert talks.leave(inner) == ["inner"]
    assert talks.give(1, "more")
    assert talks.leave(outer) == ["outer", "more"]


def test_who_waits_for_what_another_thread_asked_is_no_part_of_the_conversation():
    talks = Talks()
    first = talks.enter(1)
    found = []

    def wait_too() -> None:
        second = talks.enter(1)
        found.append(talks.give(1, "job") and not second.jobs)
        found.append(talks.leave(second) == [])

    thread = threading.Thread(target=wait_too)
    thread.start()
    thread.join(20)
    assert found == [True, True]
    assert talks.leave(first) == ["job"]


def test_a_job_that_comes_as_who_waited_leaves_is_for_others():
    talks = Talks()
    talk = talks.enter(1)

    class Late(deque[object]):
        def append(self, job: object) -> None:
            assert talks.leave(talk) == []
            super().append(job)

    talk.jobs = Late()
    assert not talks.give(1, "job")
    assert not talk.jobs
