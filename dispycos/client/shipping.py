"""What a client sends of its program: components, setups, functions and arguments, pickled.

All is pickled in the caller's thread, so that an error is raised where the mistake is and a
later change of an argument is not sent (N6). Rows DC-21, DC-22, DC-45 to DC-49; rule D5.

I/O half. Layer 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dispycos.client.components import Components, check_target
from dispycos.config import Limits
from dispycos.errors import MessageTooLarge
from dispycos.kernel.target import name_of
from dispycos.model import CodeHash, Payload
from dispycos.net import code, values

LARGE_BYTES = 256 * 1024  # arguments above this are "large": not many of them go into one message


class Shipping:
    """The code of one client, as its servers know it.

    define  called with each definition that no component covers, before its hash is used.
    """

    def __init__(self, components: Components, limits: Limits) -> None:
        self.components = code.dump_components(components.definitions)
        self._limits = limits
        self._known: set[CodeHash] = set(code.hashes(components.definitions))
        self._checked: dict[int, Callable[..., Any]] = {}  # targets by id(), kept alive; at most _MAX_CHECKED

    def function(self, target: Any, define: Callable[[CodeHash, Payload], object]) -> CodeHash:
        """The hash of what a task is to run; TypeError or NotSerializable for what can't be run there."""
        if target is None or self._checked.get(id(target)) is not target:
            check_target(target)
            if len(self._checked) >= _MAX_CHECKED:
                self._checked.clear()
            self._checked[id(target)] = target
        hash_, payload = code.dump_definition(target)
        if hash_ not in self._known:
            define(hash_, payload)
        return hash_

    def arguments(self, target: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
        """Pickled arguments; what pickling raises, or MessageTooLarge."""
        payload = values.dump_call(args, kwargs, name=name_of(target))
        if payload.buffers or len(payload.data) > LARGE_BYTES:
            size = payload.size
            if size > self._limits.max_message_bytes:
                raise MessageTooLarge(
                    f"the arguments of {name_of(target)} have {size} bytes, more than "
                    f"max_message_bytes={self._limits.max_message_bytes}"
                )
        return payload


_MAX_CHECKED = 4096


def is_large(payload: Payload) -> bool:
    return bool(payload.buffers) or len(payload.data) > LARGE_BYTES


def setup(function: Callable[..., Any] | None, args: Iterable[Any] = ()) -> Payload | None:
    """node_setup or server_setup with its arguments; None if there is none."""
    if function is None:
        return None
    return values.dump((function, tuple(args), {}), what=f"{name_of(function)} and its arguments")
