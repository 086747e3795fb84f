"""Talks: who waits for the other end, so that what it asks meanwhile is done by that thread.

If f here calls g there, and g calls h here, then h runs in the thread that waits for g: locks
that f holds are f's thread's, and two ends that call each other cannot block each other.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from dispycos.net.waiting import Waiting


class Talk:
    """A thread that waits in a conversation, perhaps nested, and what it is to do meanwhile."""

    __slots__ = ("conversation", "depth", "jobs", "thread", "waiting")

    def __init__(self) -> None:
        self.conversation = 0
        self.thread = threading.get_ident()
        self.depth = 0  # waits within each other
        self.waiting = Waiting()
        self.jobs: deque[Any] = deque()


class _Here(threading.local):
    talk: Talk | None = None  # of this thread, for the next time that it waits


class Talks:
    """The threads of this end that wait, by conversation. Any thread may use it.

    Without a lock, for each call enters and leaves. A thread that leaves takes itself out of the
    table and looks for jobs then; who gives a job looks into the table once more then: one of
    them sees the other.
    """

    def __init__(self) -> None:
        self._talks: dict[int, Talk] = {}
        self._here = _Here()

    def enter(self, conversation: int) -> Talk:
        """This thread waits from now on, or is about to."""
        talk = self._talks.get(conversation)
        if talk is None or talk.thread != threading.get_ident():
            here = self._here
            talk = here.talk
            if talk is None or talk.depth:
                talk = here.talk = Talk()
            talk.conversation = conversation
            # If another thread waits for what that one asked, this one is no part of the conversation.
            self._talks.setdefault(conversation, talk)
        talk.depth += 1
        return talk

    def leave(self, talk: Talk) -> list[Any]:
        """It waits no more: what is left for others to do."""
        talk.depth -= 1
        if talk.depth:
            return []
        if self._talks.get(talk.conversation) is talk:
            del self._talks[talk.conversation]
        left = []
        while talk.jobs:
            try:
                left.append(talk.jobs.popleft())
            except IndexError:
                break  # who gave it took it back
        return left

    def give(self, conversation: int, job: Any) -> bool:
        """Have who waits in this conversation do a job; False if nobody does."""
        talk = self._talks.get(conversation)
        if talk is None:
            return False  # who asks the other end is here before it can ask back
        talk.jobs.append(job)
        if self._talks.get(conversation) is not talk:
            try:
                talk.jobs.remove(job)
                return False
            except ValueError:
                pass  # whoever waited has taken it
        talk.waiting.wake()
        return True
