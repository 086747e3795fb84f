"""Tokens, sessions and who failed to show one: who may look, and who may act.

A token is printed with the address, as a fragment, which browsers do not send. A page posts it
once and gets a session. Both travel in a header or in a WebSocket's first message, never in a
cookie: cookies reach every port of a host (SE-37).

I/O half, for it draws random numbers; it is given the time. Layer 7. Rows SE-36 to SE-40.
"""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from dataclasses import dataclass

from dispycos.httpd.kept import Kept

VIEWER = "viewer"
OPERATOR = "operator"

SESSION_IDLE = 12 * 3600.0  # seconds without a request
MAX_SESSIONS = 200  # one more ends the one that was idle longest
MAX_FAILURES = 10  # of one source ...
FAILURE_WINDOW = 60.0  # ... in so many seconds
MAX_SOURCES = 1024  # remembered; the oldest is forgotten
_BYTES = 32


@dataclass(slots=True)
class Session:
    """Somebody who showed a token."""

    key: str
    role: str
    used: float | None  # when it was used last; None: in an earlier run


class Logins:
    """All who may look at one monitor. `now` is seconds on a clock that only goes forward."""

    def __init__(self, *, operators: bool = True, kept: Kept | None = None) -> None:
        """operators  False: every token makes viewers (`--http_readonly`).

        kept  what the run before left; changed and saved with each login and logout.
        """
        self._operators = operators
        self._kept = kept
        self._sessions: dict[str, Session] = {}  # at most MAX_SESSIONS
        if kept is not None and kept.tokens:
            self.token, self.viewer_token = kept.tokens
            for key, role in kept.sessions[-MAX_SESSIONS:]:
                # A monitor that lets nobody act any more has no operators of earlier runs, either.
                self._sessions[key] = Session(key, role if operators else VIEWER, used=None)
        else:
            self.token = secrets.token_urlsafe(_BYTES)
            self.viewer_token = secrets.token_urlsafe(_BYTES)
        self._save()
        self._failures: dict[str, deque[float]] = {}  # source -> when; at most MAX_SOURCES
        self.refused = 0  # wrong or missing credentials so far

    def login(self, token: str, now: float) -> Session | None:
        """A session for who shows a token; None: it is none of ours."""
        role = self._role(token)
        if role is None:
            return None
        self._drop_idle(now)
        if len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions.values(), key=lambda session: session.used or 0.0).key]
        session = Session(secrets.token_urlsafe(_BYTES), role, now)
        self._sessions[session.key] = session
        self._save()
        return session

    def logout(self, key: str) -> bool:
        """End a session; False: there was none."""
        found = self._find(key)
        if found is not None:
            del self._sessions[found.key]
            self._save()
        return found is not None

    def role(self, credential: str, now: float) -> str | None:
        """The role of a session or token; None: it is neither."""
        session = self._find(credential)
        if session is None:
            return self._role(credential)
        if session.used is not None and now - session.used > SESSION_IDLE:
            del self._sessions[session.key]
            return None
        session.used = now
        return session.role

    def _find(self, credential: str) -> Session | None:
        # All are compared, in a time that says nothing of how much of one was right.
        found = None
        for session in list(self._sessions.values()):
            if _same(session.key, credential):
                found = session
        return found

    def _role(self, token: str) -> str | None:
        operator, viewer = _same(self.token, token), _same(self.viewer_token, token)
        if operator and self._operators:
            return OPERATOR
        return VIEWER if operator or viewer else None

    def _drop_idle(self, now: float) -> None:
        for session in list(self._sessions.values()):
            if session.used is not None and now - session.used > SESSION_IDLE:
                del self._sessions[session.key]

    def _save(self) -> None:
        if self._kept is not None:
            self._kept.tokens = [self.token, self.viewer_token]
            self._kept.sessions = [[session.key, session.role] for session in self._sessions.values()]
            self._kept.save()

    # Those who failed.

    def failed(self, source: str, now: float) -> float:
        """Count a wrong credential. Seconds that this source has to wait; 0: it may try again."""
        self.refused += 1
        times = self._failures.pop(source, None)
        if times is None:
            times = deque(maxlen=MAX_FAILURES + 1)
        self._failures[source] = times
        if len(self._failures) > MAX_SOURCES:
            del self._failures[next(iter(self._failures))]
        times.append(now)
        while times and times[0] <= now - FAILURE_WINDOW:
            times.popleft()
        return max(1.0, times[0] + FAILURE_WINDOW - now) if len(times) > MAX_FAILURES else 0.0


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))
