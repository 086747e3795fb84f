"""What a client sends of its program: components, setups, functions and arguments, pickled.

All is pickled in the caller's thread, so that an error is raised where the mistake is and a
later change of an argument is not sent (N6). Rows DC-21, DC-22, DC-45 to DC-49; rule D5.

I/O half. Layer 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dispycos.client.components import Components, check_target
from dispycos.config import MIB, Limits
from dispycos.errors import MessageTooLarge
from dispycos.kernel import unwaited
from dispycos.kernel.target import name_of
from dispycos.messages import Submit
from dispycos.model import CodeHash, Payload, TaskSpec
from dispycos.pickling import code, values

LARGE_BYTES = 256 * 1024  # arguments above this are "large": not many of them go into one message


class Shipping:
    """The code of one client, as its servers know it.

    define  called with each definition that no component covers, before its hash is used.
    """

    def __init__(self, components: Components, limits: Limits) -> None:
        self._limits = limits
        self.components = code.dump_components([*components.preludes, *components.definitions])
        self._must_fit("the components", self.components)
        self._known: set[CodeHash] = set(code.hashes(components.definitions))
        # Targets that were checked, by id(), kept alive, with their names; at most _MAX_CHECKED.
        self._checked: dict[int, tuple[Any, str]] = {}

    def name(self, target: Any) -> str:
        """The name of what a task is to run; TypeError if it can't be run (DC-21)."""
        known = self._checked.get(id(target))
        if known is not None and known[0] is target:
            return known[1]
        check_target(target)
        if len(self._checked) >= _MAX_CHECKED:
            self._checked.clear()
        unwaited.warn(target)
        name = name_of(target)
        self._checked[id(target)] = (target, name)
        return name

    def function(self, target: Any, define: Callable[[CodeHash, Payload], object]) -> CodeHash:
        """The hash by which servers know it; NotSerializable or MessageTooLarge if it can't travel."""
        hash_, payload = code.dump_definition(target)
        if hash_ not in self._known:
            self._must_fit(f"{name_of(target)} and what it refers to", payload)
            define(hash_, payload)
        return hash_

    def arguments(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
        """Pickled arguments; what pickling raises, or MessageTooLarge."""
        payload = values.dump_call(args, kwargs, name=name)
        if payload.buffers or len(payload.data) > LARGE_BYTES:
            self._must_fit(f"the arguments of {name}", payload)
        return payload

    def _must_fit(self, what: str, payload: Payload) -> None:
        size, most = payload.size, self._limits.max_message_bytes
        if size > most:
            raise MessageTooLarge(
                f"{what} have {size} bytes, more than max_message_bytes={most}; large data is sent as a file"
            )


_MAX_CHECKED = 4096


# Tasks whose arguments are large together go out in several messages.
SUBMIT_BYTES = 16 * MIB


def is_large(payload: Payload) -> bool:
    return bool(payload.buffers) or len(payload.data) > LARGE_BYTES


def setup(function: Callable[..., Any] | None, args: Iterable[Any] = ()) -> Payload | None:
    """node_setup or server_setup with its arguments; None if there is none."""
    if function is None:
        return None
    return values.dump((function, tuple(args), {}), what=f"{name_of(function)} and its arguments")


def portions(message: Submit) -> list[Submit]:
    """The same tasks in messages of about SUBMIT_BYTES each."""
    portions: list[Submit] = []
    tasks: list[TaskSpec] = []
    size = 0
    for task in message.tasks:
        more = task.args.size
        if tasks and size + more > SUBMIT_BYTES:
            portions.append(Submit(message.lease, tasks))
            tasks, size = [], 0
        tasks.append(task)
        size += more
    portions.append(Submit(message.lease, tasks))
    return portions
