"""What tasks and channels have in common: an id, a name, a place, and how a reference travels.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar

from dispycos.errors import NotSerializable
from dispycos.kernel.network import Kind, Located
from dispycos.kernel.wait import Given
from dispycos.model import Location

R = TypeVar("R", bound="Receiver")

# The kernel that this thread runs: what `_default` answers, without a call. A copy of the
# context in another thread may have it too, which is as good.
current: ContextVar[Any] = ContextVar("dispycos kernel", default=None)


class Receiver:
    """Something that messages are sent to; references to it may live in other processes."""

    __slots__ = (
        "__weakref__",
        "_kernel",
        "_name",
        "number",  # its id: positive, shared by tasks and channels, never used again in this process
    )

    _kind: ClassVar[Kind]

    number: int
    _kernel: Any
    _name: str

    @staticmethod
    def _default() -> Any:
        """The kernel of the calling thread, or the process's own; kernel.loop puts the real one here."""
        raise RuntimeError("no kernel runs in this process: import dispycos.kernel.loop")

    @property
    def name(self) -> str:
        """What it is called: a task by its function, a channel by its maker."""
        return self._name

    @property
    def location(self) -> Location | None:
        """Where its process is reached; None before this process has a network."""
        network = self._kernel.network
        return None if network is None else network.location

    # One local object is one task or channel, so it equals itself only; references to those
    # of other processes compare more.

    def __hash__(self) -> int:
        return hash(self.number)

    def __str__(self) -> str:
        location = self.location
        return f"{self._name}/{self.number}" + ("" if location is None else f"@{location}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        network = self._kernel.network
        if network is None:
            raise NotSerializable(f"{self} can't be pickled: this process has no network to reach it by")
        reduction: tuple[Any, ...] = network.reduce(self)
        return reduction

    def __copy__(self: R) -> R:
        return self

    def __deepcopy__(self: R, memo: dict[int, Any]) -> R:
        return self

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` (its own) to `locate`, here and elsewhere: 0, or -1 if that is taken."""
        return int(self._kernel.register(self._kind, name or self._name, self))

    def unregister(self, name: str | None = None) -> int:
        """Take back `register`: 0, or -1 if it is not known by that name."""
        return int(self._kernel.unregister(self._kind, name or self._name, self))

    @classmethod
    def locate(cls, name: str, location: Location | None = None, timeout: float | None = None) -> Any:
        """Yield this: what is registered as `name` here or in another process, or None.

        location  the only process to ask; None: this one, those present, and those that
                  appear within `timeout` seconds (None: for ever).
        """
        kernel = cls._default()
        network = kernel.network
        if location is None or (network is not None and location == network.location):
            found = kernel.names.find(cls._kind, name)
            if found is not None:
                return Given(found)
        if network is not None:
            return network.locate(cls._kind, name, location, timeout)
        return Given(None) if location is not None else Located(kernel.names, cls._kind, name, timeout)
