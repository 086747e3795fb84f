"""Jobs: what a worker does for a client program.

A JobFunction is the definition that workers get: the function as its program pickled it, and
the surroundings that its jobs run in. The program's working directory and module path are
those of the job while it runs, and the worker's own again afterwards, however it ends (CW-09,
CW-10). What a job imports from its program's folders belongs to that program: another
program's jobs import their own.

Only the worker looks into what a program sends, and each program's code lives in a namespace
of its own. What a job answers is pickled here, inside those surroundings, and opened by the
program: (True, data, *buffers) of a value; (False, text, data or None, *buffers) of an
exception. A job that somebody ends is interrupted where it is (`node.interrupter`).

I/O half. Layer 7. Rows CW-08 to CW-10.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import types
from collections.abc import Iterable
from typing import Any

from dispycos import forks
from dispycos.kernel import trace
from dispycos.kernel.target import calls_plainly
from dispycos.kernel.task import is_interruption
from dispycos.model import Buffer, Payload
from dispycos.pickling import origins, values
from dispycos.pickling.rebuild import Namespace


class JobFunction:
    """One function of one client program, with the surroundings of its jobs; called on a worker.

    program  the incarnation of the client program.
    folder   the working directory of its jobs.
    path     folders that they import from, before those of the worker itself.
    code     the function, as `pickling.code.dump_definition` made it.
    """

    def __init__(
        self,
        program: bytes,
        name: str,
        folder: str,
        path: Iterable[str],
        code: Buffer,
        buffers: Iterable[Buffer] = (),
    ) -> None:
        self.__name__ = name
        self._program = program
        self._folder = folder
        self._path = tuple(path)
        self._code: Payload | None = Payload(code, tuple(buffers))
        self._function: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        code = self._code
        assert code is not None, "it is sent before it is used"
        outside = tuple(map(pickle.PickleBuffer, code.buffers))
        names = (self._program, self.__name__, self._folder, self._path)
        return JobFunction, (*names, bytes(code.data), outside)

    def __call__(self, data: Buffer, *buffers: Buffer) -> tuple[Any, ...]:
        """Run one job; what it comes to, as the head of this file says."""
        home = _home(self._program)
        if self._code is not None:
            home.names.adopt_home(self._code.data)
        try:
            before = home.enter(self._folder, self._path)
        except OSError as exc:
            text = f"the working directory {self._folder!r} of the job is not on this worker: {exc.strerror}"
            return self._failure(type(exc)(exc.errno, text))
        try:
            if self._code is not None:
                self._function, self._code = values.load(self._code, home.names), None
            args, kwargs = values.load(Payload(data, buffers), home.names)
            value = _call(self._function, args, kwargs)
            payload = values.dump(value, what=f"the result of {self.__name__}")
        except BaseException as exc:
            if is_interruption(exc):
                raise  # how it ended is its server's to tell
            trace.trim(exc)
            return self._failure(exc)
        finally:
            home.leave(before)
        return (True, payload.data, *map(pickle.PickleBuffer, payload.buffers))

    def _failure(self, exc: BaseException) -> tuple[Any, ...]:
        payload, text = values.dump_exception(values.survivable(exc, self.__name__))
        if payload is None:
            return (False, text, None)
        return (False, text, payload.data, *map(pickle.PickleBuffer, payload.buffers))


def _call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Alone, so that what interrupts the job comes inside its surroundings, and they are left."""
    with forks.parent_goes_on():
        return function(*args, **kwargs)


calls_plainly.add(_call.__code__)
trace.leading.add(__name__)


# Programs.


class _Home:
    """What one client program has in this worker."""

    def __init__(self) -> None:
        self.names = Namespace()
        self._modules: dict[str, types.ModuleType] = {}  # of its folders, while another one's jobs run
        self._others: set[str] = set()  # modules that were here before its own
        self._path: tuple[str, ...] = ()

    def enter(self, folder: str, path: tuple[str, ...]) -> tuple[str, list[str], types.ModuleType]:
        """Make this its place; what `leave` puts back. OSError: there is no such folder."""
        before = (os.getcwd(), sys.path[:], sys.modules["__main__"])
        os.chdir(folder)
        self._move_in()
        self._path = path
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        sys.modules["__main__"] = self.names.main  # where copy, pickle and typing look for its classes
        origins.lent = tuple(os.path.join(entry, "") for entry in path)
        return before

    def leave(self, before: tuple[str, list[str], types.ModuleType]) -> None:
        """The worker is its own again."""
        folder, sys.path[:], sys.modules["__main__"] = before
        origins.lent = ()
        os.chdir(folder)

    def _move_in(self) -> None:
        global _current
        if _current is self:
            return
        if _current is not None:
            _current._move_out()
        self._others = set(sys.modules)
        sys.modules.update(self._modules)
        self._modules = {}
        importlib.invalidate_caches()
        _current = self

    def _move_out(self) -> None:
        folders = tuple(os.path.join(entry, "") for entry in self._path)
        for name, module in list(sys.modules.items()):
            # A checkout of dispycos may be among the program's folders; the worker runs on it.
            if name in self._others or name.partition(".")[0] == "dispycos":
                continue
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and path.startswith(folders) and not origins.installed(path):
                self._modules[name] = sys.modules.pop(name)


_homes: dict[bytes, _Home] = {}  # of the programs that had jobs here since this process began
_current: _Home | None = None  # whose modules are in their place


def _home(program: bytes) -> _Home:
    home = _homes.get(program)
    if home is None:
        home = _homes[program] = _Home()
    return home
