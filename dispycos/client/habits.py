"""Words of Dask, Ray, multiprocessing, pycos and dispy, with what is written here instead.

Who comes from there writes them first: the errors that they get name the new way. Nothing is done
under the old names.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Table = Mapping[str, str]

_CLUSTER: Final = "`with LocalCluster(4):` around Client() starts a cluster here; elsewhere run dispycosnode"
_SCHEDULER: Final = "client.schedule('HOST') names a scheduler, and without a name it finds the one nearby"
_CALL: Final = "client.submit(f, x).result()"
_DATA: Final = "keep it in an object, client.object_at(None, Class), or load it in server_setup or node_setup"

# Arguments of Client.
ARGUMENTS: Final[Table] = {
    **dict.fromkeys(("n_workers", "threads_per_worker", "num_cpus", "processes", "cluster"), _CLUSTER),
    **dict.fromkeys(("address", "scheduler", "scheduler_file", "scheduler_node"), _SCHEDULER),
    **dict.fromkeys(("secret", "security", "certfile"), "it is of Scheduler(...) and of dispycosnode"),
    "asynchronous": "leave it out: `async with Client() as client` and `await` work with the same Client",
    "timeout": "client.schedule().result(SECONDS), or client.options(timeout=SECONDS) for each task",
    "depends": "they are the components: Client([function, module, 'file'])",
    "setup": "name it node_setup, which runs once a machine, or server_setup, once a server",
    "initializer": "name it server_setup: a generator function or `async def` that returns 0",
    "cluster_status": "name it status_task: a task that gets messages",
    "job_status": "name it status_task: a task that gets messages",
}

# Arguments of LocalCluster.
OF_CLUSTERS: Final[Table] = {
    **dict.fromkeys(("n_workers", "num_cpus", "processes", "max_workers", "threads_per_worker"),
                    "LocalCluster(4) has four servers, each a process that runs one call at a time"),
    "dashboard_address": "HTTPServer(client), with `from dispycos.httpd import HTTPServer`",
    "memory_limit": "dispycosnode in a container, or `ulimit -v` before it",
}  # fmt: skip

# Attributes of a Client.
METHODS: Final[Table] = {
    "gather": "gather(futures).result(), with `from dispycos import gather`",
    "scatter": _DATA,
    "put": _DATA,
    "compute": _CALL,
    "persist": _CALL,
    "remote": _CALL,
    "get": "future.result(), or gather(futures).result()",
    "wait": "wait(futures).result(), with `from dispycos import wait`",
    "cancel": "future.cancel()",
    "retry": "client.options(retries=2).submit(f, x)",
    "upload_file": "Client([module, 'file']): what its tasks need",
    "get_executor": "client.executor()",
    "scheduler_info": "client.servers(), or `dispycos status` in a terminal",
    "print_status": "`dispycos status` in a terminal",
    "nthreads": "client.servers()",
    "dashboard_link": "HTTPServer(client).link, with `from dispycos.httpd import HTTPServer`",
    "wait_for_workers": "nothing: what is submitted waits for the first server",
    "retire_workers": "client.close_server(location)",
    "restart": "client.restart_server(location)",
    "shutdown": "client.close().result()",
    "register_plugin": "Client(server_setup=f): it runs once in each server",
    "apply": _CALL,
    "apply_async": "client.submit(f, x): a Future",
    "imap": "client.map(f, items): it is lazy, and in order",
    "imap_unordered": "as_completed([client.submit(f, x) for x in items]), of dispycos",
    "starmap": "client.map(f, firsts, seconds)",
    "terminate": "client.close(terminate=True).result()",
    "join": "client.close().result(), which waits for what runs",
}

# Attributes of a Future.
OF_FUTURES: Final[Table] = {
    "get": "future.result()",
    "ready": "future.done()",
    "wait": "wait([future]).result(), with `from dispycos import wait`",
    "successful": "future.done() and future.exception() is None",
    "status": "future.done(), future.running(), future.cancelled()",
    "add_callback": "future.add_done_callback(f)",
}

# Arguments of submit and map that are not the function's.
OPTIONS: Final[Table] = {
    **dict.fromkeys(("retries", "timeout", "priority", "max_worker_deaths"), "client.options({0}={1!r})"),
    "max_retries": "client.options(retries={1!r})",
    "workers": "client.rtask_at({1!r}, ...)",
    "resources": "rules for nodes: Client(nodes=[DispycosNodeAllocate(...)])",
    "num_cpus": "a server is one processor; see dispycosnode --cpus",
    "num_gpus": "rules for nodes: Client(nodes=[DispycosNodeAllocate(...)])",
    "actor": "client.object_at(None, Class)",
    "pure": "leave it out: each call runs",
    "key": "leave it out: each call has a number",
    "batch_size": "client.map(f, items, chunksize={1!r})",
}

# Names of the module.
NAMES: Final[Table] = {
    "init": _CLUSTER,
    "remote": f"{_CALL}, or client.object_at(None, Class): nothing is decorated",
    "get": "future.result(), or gather(futures).result()",
    "put": _DATA,
    "delayed": _CALL,
    "compute": _CALL,
    "shutdown": "client.close().result()",
    "Pool": "`with LocalCluster(4):`, and client.map(f, items); or LocalCluster(4).executor()",
    "SysTask": "Task; programs of pycos run as they are by `python -m dispycos.compat PROGRAM`",
    "JobCluster": "Client([function]) and client.submit(function, x)",
    "SharedJobCluster": "Client([function]) and client.schedule('HOST')",
    "HTTPServer": "`from dispycos.httpd import HTTPServer`",
    "Worker": "dispycosnode, in a terminal of each machine",
    "Queue": "a task's mailbox (task.send, yield task.receive()) or a Channel",
}


class _Elsewhere:
    """An attribute that its class does not have, and why. Of the class, so that others cost nothing more."""

    def __init__(self, name: str, told: str) -> None:
        self._name = name
        self._told = told

    def __get__(self, thing: object, kind: type) -> Any:
        raise AttributeError(f"{kind.__name__!r} object has no attribute {self._name!r}{self._told}")


def tell(kind: type, table: Table) -> None:
    """Have the error for each attribute of the table, which `kind` does not have, name the new way."""
    for name in table:
        if not hasattr(kind, name):
            setattr(kind, name, _Elsewhere(name, hint(table, name)))


def own(names: Iterable[str], table: Table) -> list[str]:
    """What `dir()` shows: not what is only there to tell."""
    return [name for name in names if name not in table]


def hint(table: Table, name: str) -> str:
    """What the end of an error says of a name; empty if nobody writes it elsewhere."""
    return f"; here it is: {table[name]}" if name in table else ""


def unknown_argument(kind: type, name: str, table: Table = ARGUMENTS) -> TypeError:
    """The error for an argument that `kind` does not take."""
    if name in table:
        return TypeError(f"{kind.__name__}() takes no {name}=: {table[name]}")
    # Imported by those who are told: a program that begins never needs them.
    import difflib
    import inspect

    named = [one for one, it in inspect.signature(kind).parameters.items() if it.kind is not it.VAR_KEYWORD]
    near = difflib.get_close_matches(name, named, 1)
    return TypeError(f"{kind.__name__}() takes no {name}={f'; did you mean {near[0]}=?' if near else ''}")


def refuse_options(way: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """TypeError for an option of another library's `submit` that the function itself does not take."""
    for name in given:
        if name in OPTIONS and not _takes(function, name):
            instead = OPTIONS[name].format(name, given[name])
            called = getattr(function, "__name__", "the function")
            raise TypeError(
                f"{way}() hands {name}= on to {called}, which does not take it; as an option it is: {instead}"
            )


def _takes(function: Callable[..., Any], name: str) -> bool:
    import inspect

    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True  # nobody knows
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(
        one.kind is inspect.Parameter.VAR_KEYWORD or (one.name == name and one.kind in by_name)
        for one in parameters.values()
    )
