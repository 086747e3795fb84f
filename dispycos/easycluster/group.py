"""Groups of clients whose responses are read as they come, whichever server is first. Row EC-41."""

from __future__ import annotations

import threading
import time
import weakref

from dispycos.easycluster.client import Client


class ClientGroup:
    """Clients that are read together. Any thread may use it."""

    def __init__(self, *clients: Client) -> None:
        self._clients: list[Client] = []
        self._came = threading.Condition()
        for client in clients:
            self.add_client(client)

    def add_client(self, client: Client) -> None:
        """Read this one too."""
        with self._came:
            if client in self._clients:
                return
            self._clients.append(client)
        # A client may live longer than its groups.
        client.listen(weakref.WeakMethod(self._stir))

    def _stir(self) -> None:
        with self._came:
            self._came.notify_all()

    def read_responses(self, max: int | None = None, timeout: float | None = None) -> int:
        """Read responses as they come, until none is under way; how many there were.

        max      ends it after so many.
        timeout  ends it after so many seconds.
        What is to be called when a call is complete is called here. A closed connection counts as
        the failure of each of its calls.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        count = 0
        while max is None or count < max:
            if self._read_one():
                count += 1
                continue
            with self._came:
                rest = None if deadline is None else deadline - time.monotonic()
                if all(client.idle for client in self._clients) or (rest is not None and rest <= 0):
                    break
                if not any(client.readable for client in self._clients):
                    self._came.wait(rest)
        return count

    def _read_one(self) -> bool:
        with self._came:
            clients = list(self._clients)
        return any(client.readable and client.read_response(0) is not None for client in clients)
