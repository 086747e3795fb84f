"""The client's names, in its zygote and in every server forked from it.

What a component, node_setup, server_setup or a task of the client binds lives in a namespace
of its own (D5, DC-47); names that every task may use are builtins of the process (DC-53), so
that they exist in the client's modules too and never hide a name of its own.

I/O half. Layer 5. Rows DC-07 to DC-09, DC-47, DC-48, DC-53 to DC-55.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

from dispycos.errors import Closed
from dispycos.kernel import trace
from dispycos.kernel.target import as_target
from dispycos.kernel.task import Task
from dispycos.model import CodeHash, End, Payload
from dispycos.pickling import values
from dispycos.pickling.rebuild import Namespace

# Called with (node, terminate, restart).
AskToClose = Callable[[bool, bool, bool], None]


class ClientNamespace:
    """Loads the client's code and values. Not before its key was proved (N1)."""

    def __init__(self) -> None:
        self._names = Namespace()
        # As many as there are definitions: what a task runs for each.
        self._targets: dict[CodeHash, Callable[..., Any]] = {}
        builtins.dispycos = sys.modules["dispycos"]  # type: ignore[attr-defined]  # ready in every task (DC-53)

    def load_components(self, code: Payload) -> None:
        """Bring the client's components to life; their own text is the error's."""
        self._names.load_components(code)
        self._names.install()
        self._targets.clear()

    def load(self, payload: Payload) -> Any:
        """Rebuild one value; as `values.load`."""
        return values.load_data(payload.data, payload.buffers, self._names)

    def define(self, function: CodeHash, code: Payload) -> None:
        """Keep a definition until it is first used; any thread."""
        self._names.define(function, code)

    def function(self, function: CodeHash) -> Any:
        """What a task runs for a hash, which may call a plain function. LookupError if it was never sent."""
        target = self._targets.get(function)
        if target is None:
            target = self._targets[function] = as_target(self._names.function(function))
        return target

    def add_server_names(self, ask: AskToClose) -> None:
        """Make the names that exist in servers only (DC-54, DC-55)."""

        def dispycos_close_server(terminate: bool = False, restart: bool = False) -> int:
            """Close the server that this task runs on, when its tasks are done or at once."""
            ask(False, bool(terminate), bool(restart))
            return 0

        def dispycos_close_node(terminate: bool = False) -> int:
            """Close the node that this task runs on."""
            ask(True, bool(terminate), False)
            return 0

        for name, value in (
            ("dispycos_close_server", dispycos_close_server),
            ("dispycos_server_quit", dispycos_close_server),
            ("dispycos_close_node", dispycos_close_node),
        ):
            setattr(builtins, name, value)


# Results of node_setup and server_setup.


def setup_problem(what: str, task: Task) -> str:
    """Why a setup that has ended does not let its node or server be used; "" if it does."""
    if task._end is End.FINISHED:
        value = task._value
        # The documents' test: the number 0, nothing else that happens to be false.
        if isinstance(value, int) and value == 0:
            return ""
        return f"{what} returned {_short(value)}; only 0 lets it be used"
    error = task._error
    assert error is not None
    return describe_failure(what, error)


def describe_failure(what: str, error: BaseException) -> str:
    """An exception of client code as a reason, its traceback included."""
    if isinstance(error, Closed):
        return f"{what} was ended: {error}"
    return f"{what} failed:\n{trace.text_of(error)}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as exc:
        text = f"a {type(value).__name__} whose repr fails with {type(exc).__name__}"
    return text if len(text) <= 200 else text[:200] + "..."
