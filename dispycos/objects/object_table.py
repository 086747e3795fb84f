"""The object table of a connection: what each end refers to of the other's, as exports and as proxies.

What packing and unpacking ask (`values.Ends`): each end's own go out as numbers, the other one's
come in as proxies, and each is known again when it comes back. Any thread may use it.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any

from dispycos.errors import LoadError, RemoteProtocolError
from dispycos.model import Buffer
from dispycos.objects import wire
from dispycos.objects.access import Shape
from dispycos.objects.exports import Exports
from dispycos.objects.proxy import Host, Proxy
from dispycos.objects.terms import Terms


class ObjectTable:
    """See the module's docstring.

    connection  whom proxies ask.
    root        what the other end refers to from the start.
    """

    def __init__(self, connection: Host, root: Any, terms: Terms) -> None:
        self.root = root
        self._connection = connection
        self._terms = terms
        self._lock = threading.Lock()  # of `_exports`
        self._exports = Exports(root)
        # Of `_proxies` and the counts of what is there. Reentrant, because the collector may run
        # meanwhile, and with it finalizers of the program.
        self._proxies_lock = threading.RLock()
        self._proxies: weakref.WeakValueDictionary[int, Proxy] = weakref.WeakValueDictionary()
        # References that nobody here holds any more, and of which the other end was not told.
        self.drops: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        """How many objects of this end the other one refers to, its root among them."""
        return len(self._exports)

    def refer(self, value: Any) -> tuple[int, Shape]:
        shape = self._terms.access(value).shape(value)
        with self._lock:
            return self._exports.add(value), shape

    def ours(self, value: Any) -> int | None:
        if isinstance(value, Proxy) and value._connection is self._connection:
            return value._number
        return None

    def by_value(self, value: Any) -> bool:
        return not isinstance(value, Proxy) and self._terms.by_value(value)

    def proxy(self, number: int, shape: Shape) -> Any:
        made: Proxy | None = None
        while True:
            with self._proxies_lock:
                proxy = self._proxies.get(number)
                if proxy is None and made is not None:
                    self._proxies[number] = proxy = made
                if proxy is not None:
                    object.__setattr__(proxy, "_count", proxy._count + 1)
                    return proxy
            made = self._terms.proxy_class(shape)(self._connection, number, shape)

    def object(self, number: int) -> Any:
        try:
            return self._exports[number]  # one look, so without the lock
        except KeyError:
            raise LoadError(
                f"the other end refers to object {number}, which it has no reference to"
            ) from None

    def find_class(self, module: str, name: str) -> Any:
        found = self._terms.find_class(module, name)
        if found is None:
            raise LoadError(f"{module}.{name} may not be named here")
        return found

    # References that are dropped.

    def dropped(self) -> bytes:
        """What to tell the other end of those dropped here; empty if there are none."""
        counts: dict[int, int] = {}
        while self.drops:
            try:
                number, count = self.drops.popleft()
            except IndexError:
                break  # another thread tells it
            counts[number] = counts.get(number, 0) + count
        return wire.pack_drops(counts)

    def let_go(self, told: Buffer) -> None:
        """The other end dropped these. RemoteProtocolError if it does not hold them."""
        gone = []
        with self._lock:
            for number, count in wire.read_drops(told):
                try:
                    gone.append(self._exports.drop(number, count))
                except (KeyError, ValueError) as exc:
                    raise RemoteProtocolError(f"references that it does not hold: {exc}") from None
        del gone  # their finalizers may be anything, so not under the lock

    def clear(self) -> None:
        """The other end is gone: let go of all."""
        with self._lock:
            objects = self._exports.clear()
        del objects
