"""The receiving side of code: a Namespace in which shipped functions and classes come to life.

What `pickling.code` ships is a table and a pickle. The table holds definitions (id -> pickle of
one class or function), the names that their code refers to, and lines of source; the pickle
refers to definitions by id. Loading:

    an id that is known here        is that object: nothing is built twice
    a name of a definition          is bound; renewed when its definition was changed (D5)
    a name of a plain value         is bound if there is none yet, and never again (DC-47)
    a name of a module              is imported when code that uses it is to run (DC-50)

Nothing here is to be called before the peer has proved the key (N1), and never in a
scheduler or node daemon (SE-24).
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from collections.abc import Sequence
from typing import Any

from dispycos import forks
from dispycos.model import Buffer, CodeHash, Payload
from dispycos.pickling import modules, origins, stubs
from dispycos.pickling.builder import Builder, Table, imported, keep_source
from dispycos.pickling.origins import Scope
from dispycos.pickling.stubs import HEADER, MAGIC, STUBS, TAG, WHOLE

_STUBS = stubs.__name__


class Namespace(Builder):
    """Where one client's code lives in this process.

    shared  also know what this process itself made: True except in tests, where a client
            and its server are one process.
    """

    def __init__(self, *, shared: bool = True) -> None:
        super().__init__(shared)
        self._bound: dict[tuple[Scope, str], tuple[bytes, Any]] = {}  # name -> id and object last bound
        self._tables: dict[bytes, None] = {}  # digests of tables that are loaded, oldest first
        self._functions: dict[bytes, Payload | _Ready] = {}  # by code hash

    # What a server does.

    def load(self, data: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
        """Rebuild what `pickling.code` or `pickling.values` made.

        ModuleNotFoundError if its code uses a module that is missing here; VersionMismatch if
        it comes from another Python and without source.
        """
        value, missing = self._load(data, buffers)
        if missing:
            raise missing[0]
        return value

    def define(self, function: CodeHash, code: Payload) -> None:
        """Keep the definition of `function`; it is loaded when it is first used."""
        self._functions.setdefault(function, code)

    def knows(self, function: CodeHash) -> bool:
        """Whether `function` was defined or came as a component."""
        return function in self._functions

    def function(self, function: CodeHash) -> Any:
        """What that hash stands for. LookupError if it was never sent; else as `load`."""
        found = self._functions.get(function)
        if type(found) is _Ready and not found.missing:
            return found.value
        if found is None:
            raise LookupError(f"no code with hash {function.hex()} was sent to this server")
        if type(found) is Payload:
            self.adopt_home(found.data)
            with forks.parent_goes_on():
                found = _Ready(*self._load(found.data, found.buffers))
            self._functions[function] = found
        assert isinstance(found, _Ready)
        # The module may have been installed since.
        found.missing = [exc for exc in found.missing if not _can_import(exc)]
        if found.missing:
            raise found.missing[0].with_traceback(None)
        return found.value

    def load_components(self, code: Payload) -> list[str]:
        """Load what `dump_components` made; answer the names of modules that are missing here."""
        missing: list[str] = []
        home, files, items = pickle.loads(code.data)
        self.home = self.home or home
        for name, (path, source, is_package) in files.items():
            modules.install(name, path, source, is_package)
        for hash_, data in items:
            with forks.parent_goes_on():
                value, lacking = self._load(data, ())
            missing += [exc.name or str(exc) for exc in lacking if isinstance(exc, ImportError)]
            if hash_ is not None:
                self._functions[hash_] = _Ready(value, lacking)
        return missing

    @property
    def names(self) -> list[str]:
        """The names of the client's `__main__` here, sorted."""
        return sorted(name for name in vars(self.main) if not name.startswith("__"))

    def install(self) -> None:
        """Make `main` this process's `__main__`, so that copy, pickle and typing find its classes."""
        sys.modules["__main__"] = self.main

    # Loading.

    def adopt_home(self, data: Buffer) -> None:
        if self.home is None:
            magic, origin, _, _ = HEADER.unpack_from(data) if len(data) > HEADER.size else (b"", b"", b"", 0)
            self.home = origin if magic == MAGIC else None

    def _load(self, data: Buffer, buffers: Sequence[Buffer]) -> tuple[Any, list[Exception]]:
        if bytes(data[: len(MAGIC)]) != MAGIC:
            return pickle.loads(data, buffers=buffers), []
        _, _, digest, length = HEADER.unpack_from(data)
        view = memoryview(data)
        start = HEADER.size + length
        with origins.lock:
            table = Table(view[HEADER.size : start])
            self.loading.append(table)
            try:
                if digest not in self._tables:
                    self._take_in(table)
                    if not table.missing:
                        self._tables[digest] = None
                        if len(self._tables) > 4096:
                            del self._tables[next(iter(self._tables))]
                return self.unpickled(view[start:], buffers), table.missing
            finally:
                self.loading.pop()

    def _take_in(self, table: Table) -> None:
        tag, sources, _, names = table.parts
        if tag != TAG:
            self.sources |= {path: lines[WHOLE] for path, lines in sources.items() if WHOLE in lines}
        for path, lines in sources.items():
            keep_source(path, lines)
        # Modules first, values last: what rebuilds a value may use the others.
        for order in ("module", "object", "ref", "value"):
            for scope, name, kind, data in names:
                if kind == order and not (self.shared and origins.is_ours(scope[0])):
                    self._bind(table, scope, name, kind, data)

    def _bind(self, table: Table, scope: Scope, name: str, kind: str, data: Any) -> None:
        names = vars(self.module(scope))
        present = name in names
        if kind == "ref":
            last = self._bound.get((scope, name))
            renew = last is not None and last[0] != data and names.get(name) is last[1]
            if present and not renew:
                return
            names[name] = value = self.ref(data)
            self._bound[scope, name] = (data, value)
            return
        if present and kind != "module":
            return
        try:
            if kind == "module":
                value = imported(data, self)
            else:
                value = self.unpickled(data)
        except Exception as exc:
            if not present:
                table.missing.append(exc)
            return
        names.setdefault(name, value)

    def unpickled(self, data: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
        return _Unpickler(self, data, buffers).load()


class _Ready:
    """A function that is loaded, and what kept it from being complete."""

    __slots__ = ("missing", "value")

    def __init__(self, value: Any, missing: list[Exception]) -> None:
        self.value = value
        self.missing = missing


class _Unpickler(pickle.Unpickler):
    def __init__(self, namespace: Namespace, data: Buffer, buffers: Sequence[Buffer]) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._namespace = namespace

    def find_class(self, module: str, name: str) -> Any:
        if module == _STUBS and name in STUBS:
            return getattr(self._namespace, name)
        if module == "__main__" and self._namespace.home is not None:
            found: Any = self._namespace.main
            for part in name.split("."):
                found = getattr(found, part)
            return found
        return super().find_class(module, name)


def _can_import(exc: Exception) -> bool:
    if not isinstance(exc, ModuleNotFoundError) or not exc.name:
        return False
    try:
        importlib.import_module(exc.name)
    except ImportError:
        return False
    return True


HERE = Namespace()  # of a process that is no server: its own modules are the scopes
