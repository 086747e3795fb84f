"""Talks: who waits for the other end, so that what it asks meanwhile is done by that thread.

If f here calls g there, and g calls h here, then h runs in the thread that waits for g: locks
that f holds are f's thread's, and two ends that call each other cannot block each other.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Final

from dispycos.net.waiting import Waiting

_SPARE: Final = 8  # talks kept for the next who waits


class Talk:
    """A thread that waits in a conversation, perhaps nested, and what it is to do meanwhile."""

    __slots__ = ("conversation", "depth", "jobs", "thread", "waiting")

    def __init__(self, conversation: int) -> None:
        self.conversation = conversation
        self.thread = threading.get_ident()
        self.depth = 0  # waits within each other
        self.waiting = Waiting()
        self.jobs: deque[Any] = deque()


class Talks:
    """The threads of this end that wait, by conversation. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._talks: dict[int, Talk] = {}
        self._spare: list[Talk] = []  # they are over, and may be others

    def enter(self, conversation: int) -> Talk:
        """This thread waits from now on, or is about to."""
        with self._lock:
            talk = self._talks.get(conversation)
            if talk is None:
                if self._spare:
                    talk = self._spare.pop()
                    talk.conversation = conversation
                    talk.thread = threading.get_ident()
                else:
                    talk = Talk(conversation)
                self._talks[conversation] = talk
            elif talk.thread != threading.get_ident():
                # Another thread waits for what that one asked: it is no part of the conversation.
                talk = Talk(conversation)
            talk.depth += 1
        return talk

    def leave(self, talk: Talk) -> list[Any]:
        """It waits no more: what is left for others to do."""
        with self._lock:
            talk.depth -= 1
            if talk.depth:
                return []
            if self._talks.get(talk.conversation) is talk:
                del self._talks[talk.conversation]
            if talk.jobs:
                return list(talk.jobs)
            if len(self._spare) < _SPARE:
                self._spare.append(talk)
            return []

    def give(self, conversation: int, job: Any) -> bool:
        """Have who waits in this conversation do a job; False if nobody does."""
        if conversation not in self._talks:
            return False  # who asks the other end is here before it can ask back
        with self._lock:
            talk = self._talks.get(conversation)
            if talk is None:
                return False
            talk.jobs.append(job)
        talk.waiting.wake()
        return True
