"""Classic mode: another Python as if it were this one. The server is `python -m dispycos.rpc.classic_server`.

    conn = rpc.classic.connect("localhost")
    conn.modules.os.getcwd()

Who can connect may do all that the server's account may, so the key is proved before anything.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from dispycos.objects.failure import GenericException
from dispycos.rpc import dialling, private
from dispycos.rpc.classic_connection import ClassicConnection, connection_of
from dispycos.rpc.keys import Key
from dispycos.rpc.slave import ClassicService

DEFAULT_PORT: Final = 18812

_CHUNK: Final = 1 << 18  # bytes of a file that travel at once


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    key: Key = None,
    ipv6: bool = False,
    timeout: float = dialling.TIMEOUT,
) -> ClassicConnection:
    """Connect to a classic server; errors as those of `rpc.connect`."""
    conn: Any = dialling.connect(host, port, ClassicService, key=key, ipv6=ipv6, timeout=timeout)
    return conn  # type: ignore[no-any-return]


def ssl_connect(
    host: str,
    port: int = dialling.SSL_PORT,
    keyfile: str | None = None,
    certfile: str | None = None,
    ca_certs: str | None = None,
    *,
    user: str | None = None,
    password: str = "",
    key: Key = None,
) -> ClassicConnection:
    """Connect by TLS to a classic server with a certificate; see `rpc.ssl_connect`."""
    conn: Any = dialling.ssl_connect(
        host, port, keyfile, certfile, ca_certs, ClassicService, user=user, password=password, key=key
    )
    return conn  # type: ignore[no-any-return]


def unix_connect(path: str, *, key: Key = None, timeout: float = dialling.TIMEOUT) -> ClassicConnection:
    """Connect to a classic server at a unix socket."""
    conn: Any = dialling.unix_connect(path, ClassicService, key=key, timeout=timeout)
    return conn  # type: ignore[no-any-return]


def deliver(conn: ClassicConnection, localobj: Any) -> Any:
    """A copy of a function, class, instance or data at the other end, of `__main__` too; its proxy."""
    return conn.deliver(localobj)


def teleport_function(conn: ClassicConnection, func: Any, globals: Any = None) -> Any:
    """As `conn.teleport`; `globals`: a dict there that has its global variables."""
    return conn.teleport(func, globals)


def obtain(proxy: Any) -> Any:
    """A copy here of an object that is at the other end; what is here already is given back."""
    conn = connection_of(proxy)
    return proxy if conn is None else conn.obtain(proxy)


@contextlib.contextmanager
def redirected_stdio(conn: ClassicConnection) -> Iterator[None]:
    """In the block, what this connection runs there reads and writes our standard streams."""
    conn.root.redirect(sys.stdin, sys.stdout, sys.stderr)
    try:
        yield
    finally:
        if not conn.closed:
            conn.root.restore()


def interact(conn: ClassicConnection, namespace: dict[str, Any] | None = None) -> None:
    """A console of the other end here, until the end of input or `exit()`.

    namespace  names that are set there first.
    """
    console = conn.root.console(namespace)
    print(console.banner, file=sys.stderr)
    with redirected_stdio(conn):
        lines: list[str] = []
        while True:
            try:
                lines.append(input("... " if lines else ">>> "))
                if not console.push("\n".join(lines)):
                    lines.clear()
            except EOFError:
                if conn.closed:
                    raise  # which is no end of input
                print()
                return
            except KeyboardInterrupt:
                lines.clear()
                print("\nKeyboardInterrupt", file=sys.stderr)
            except GenericException as exc:
                if not str(exc).startswith("SystemExit"):
                    raise
                return


def pm(conn: ClassicConnection) -> None:
    """Python's debugger, here, on the last call of this connection whose Python code failed there, until `q`.

    ValueError if none failed.
    """
    with redirected_stdio(conn):
        conn.root.post_mortem()


def connect_subproc() -> ClassicConnection:
    """Start a Python on this machine that serves us alone, and ends with the connection."""
    command = [sys.executable, "-u", "-m", "dispycos.rpc.classic_server", "--mode", "stdio", "--quiet"]
    conn: Any = private.connect_subproc(command, ClassicService)
    return conn  # type: ignore[no-any-return]


def connect_thread() -> ClassicConnection:
    """Use this process itself through a connection, to try things."""
    conn: Any = private.connect_thread(ClassicService, remote_service=ClassicService)
    return conn  # type: ignore[no-any-return]


def ssh_connect(
    remote_machine: str, remote_port: int = DEFAULT_PORT, *, key: Key = None
) -> ClassicConnection:
    """Connect through ssh to a classic server of another machine; see `rpc.ssh_connect`."""
    conn: Any = private.ssh_connect(remote_machine, remote_port, ClassicService, key=key)
    return conn  # type: ignore[no-any-return]


# Files.

Filter = Callable[[str], bool] | None


def upload(
    conn: ClassicConnection, localpath: str, remotepath: str, filter: Filter = None, chunk_size: int = _CHUNK
) -> None:
    """Copy a file or folder to the other end.

    filter  called with the name of each file or folder inside; False: it is left out.
    ValueError for what is neither a file nor a folder.
    """
    _copy(_Side(os, open), localpath, _side_of(conn), remotepath, filter, chunk_size)


def download(
    conn: ClassicConnection, remotepath: str, localpath: str, filter: Filter = None, chunk_size: int = _CHUNK
) -> None:
    """Copy a file or folder from the other end; else as `upload`."""
    _copy(_side_of(conn), remotepath, _Side(os, open), localpath, filter, chunk_size)


def upload_package(
    conn: ClassicConnection, module: Any, remotepath: str | None = None, chunk_size: int = _CHUNK
) -> None:
    """Copy a module or package that is imported here to the other end, where it can be imported then.

    remotepath  its file or folder there; where packages are installed there unless it is given.
    ValueError if it has no source file.
    """
    source = getattr(module, "__file__", None)
    if source is None or not os.path.exists(source):
        raise ValueError(f"{module!r:.200} has no source file that could be copied")
    if hasattr(module, "__path__"):
        source = os.path.dirname(source)
    if remotepath is None:
        folder = conn.modules.sysconfig.get_paths()["purelib"]
        *parents, _ = module.__name__.split(".")
        remotepath = conn.modules.os.path.join(folder, *parents, os.path.basename(source))
    upload(conn, source, remotepath, lambda name: name != "__pycache__", chunk_size)
    conn.modules.importlib.invalidate_caches()


upload_module = upload_package


class _Side:
    # Where files are: here or there.

    def __init__(self, os: Any, open: Any) -> None:
        self.os = os
        self.open = open


def _side_of(conn: ClassicConnection) -> _Side:
    return _Side(conn.modules.os, conn.builtins.open)


def _copy(here: _Side, path: str, there: _Side, target: str, filter: Filter, chunk_size: int) -> None:
    if here.os.path.isdir(path):
        there.os.makedirs(target, exist_ok=True)
        for name in here.os.listdir(path):
            if filter is None or filter(name):
                inner = here.os.path.join(path, name)
                _copy(here, inner, there, there.os.path.join(target, name), filter, chunk_size)
    elif here.os.path.isfile(path):
        with here.open(path, "rb") as source, there.open(target, "wb") as drain:
            while data := source.read(chunk_size):
                drain.write(data)
    else:
        raise ValueError(f"{path!r} is neither a file nor a folder")
