"""Words of Dask, Ray, multiprocessing, ipyparallel, pycos and dispy, with what is written here instead.

Who comes from there writes them first: the errors that they get name the new way (`guidance.hints`).
In what is said of an argument, {0} is its name and {1!r} its value.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Table = Mapping[str, str]

NO_WORDS: Final[Table] = {}

_CLUSTER: Final = "`with LocalCluster(4):` around Client() starts a cluster here; elsewhere run dispycosnode"
_SCHEDULER: Final = "client.schedule('HOST') names a scheduler, and without a name it finds the one nearby"
_CALL: Final = "client.submit(f, x).result()"
_FUTURE: Final = "client.submit(f, x): a Future"
_DATA: Final = "keep it in an object, client.object_at(None, Class), or load it in server_setup or node_setup"
_SERVERS: Final = "client.servers().result(), or `dispycos status` in a terminal"
_MONITOR: Final = "HTTPServer(client).link, with `from dispycos.httpd import HTTPServer`"
_TASKS: Final = "client.tasks().result()"
_WAITS: Final = "client.wait_for_servers(4).result(); calls need no wait: they go to the first server"
_SETUP: Final = "Client(server_setup=f): it runs once in each server"
_PLACES: Final = "client.run_everywhere(f) for all servers, client.rtask_at(location, f) for one"
_ONE_PLACE: Final = (
    "client.rtask_at(location, task), where client.servers().result() has the locations and `task` is an "
    "`async def` or has a `yield`; it may call any function"
)
_RULES: Final = "rules for nodes: Client(nodes=[DispycosNodeAllocate(...)])"
_ONE_CALL: Final = "leave it out: a server is a process, and runs one call at a time"
_ACTOR: Final = "client.object_at(None, Class)"
_RELEASED: Final = "nothing: a result is let go with its last reference"
_INSIDE: Final = "nothing: a task yields, and asks the program for more calls by a message"
_NAMES_THERE: Final = "client.run_everywhere(f, x), where f sets a `global` on every server, or returns it"
_WITHOUT_FAILURES: Final = "ask each: future.exception() is None"

# Arguments of Client.
ARGUMENTS: Final[Table] = {
    **dict.fromkeys(("n_workers", "threads_per_worker", "num_cpus", "processes", "cluster"), _CLUSTER),
    **dict.fromkeys(("max_workers", "memory_limit", "resources", "num_gpus"), _CLUSTER),
    **dict.fromkeys(("address", "scheduler", "scheduler_file", "scheduler_node", "url_file"), _SCHEDULER),
    **dict.fromkeys(("secret", "security", "certfile"), "it is of Scheduler(...) and of dispycosnode"),
    "asynchronous": "leave it out: `async with Client() as client` and `await` work with the same Client",
    "timeout": "client.schedule().result(SECONDS), or client.options(timeout=SECONDS) for each task",
    "heartbeat_interval": "name it pulse_interval",
    "dashboard_address": _MONITOR,
    "runtime_env": "its modules and files are the components: Client([module, 'file'])",
    "depends": "they are the components: Client([function, module, 'file'])",
    "setup": "name it node_setup, which runs once a machine, or server_setup, once a server",
    "initializer": "name it server_setup: a generator function or `async def` that returns 0",
    "cluster_status": "name it status_task: a task that gets messages",
    "job_status": "name it status_task: a task that gets messages",
}

_ADAPT: Final = "cluster.adapt(1, 8), nodes, each with the cluster's servers"
_FOUR: Final = "LocalCluster(4) has four servers, each a process that runs one call at a time"

# Arguments of LocalCluster.
OF_CLUSTERS: Final[Table] = {
    **dict.fromkeys(("n_workers", "num_cpus", "processes", "max_workers", "threads_per_worker", "n"), _FOUR),
    **dict.fromkeys(("dashboard_address", "dashboard"), _MONITOR),
    "memory_limit": "dispycosnode in a container, or `ulimit -v` before it",
    **dict.fromkeys(("engines", "cores"), _FOUR),
    "asynchronous": "leave it out: `async with LocalCluster(4)` and `await` work with the same cluster",
}

# Arguments of scale and adapt.
OF_SCALING: Final[Table] = {
    **dict.fromkeys(("n", "jobs", "n_workers", "num_workers"), "cluster.scale({1!r}), so many nodes"),
    **dict.fromkeys(("cores", "memory"), "cluster.scale(2), nodes, each with the cluster's servers"),
    **dict.fromkeys(("minimum_jobs", "minimum_cores", "minimum_memory"), _ADAPT),
    **dict.fromkeys(("maximum_jobs", "maximum_cores", "maximum_memory"), _ADAPT),
    **dict.fromkeys(("interval", "wait_count", "target_duration"), "leave it out: the work says when"),
}

# Arguments of SSHCluster.
OF_SSH: Final[Table] = {
    **dict.fromkeys(("workers", "n_workers", "nprocs", "nworkers"), "servers={1!r}, on each host"),
    **dict.fromkeys(("nthreads", "threads_per_worker"), _ONE_CALL),
    "connect_options": "[USER@]HOST[:PORT] for a host, and ssh_config= for all else",
    "remote_python": "python={1!r}",
    **dict.fromkeys(("worker_options", "scheduler_options"), "options=[...], of dispycosnode"),
}

# Arguments of SlurmCluster.
OF_SLURM: Final[Table] = {
    **dict.fromkeys(("cores", "processes", "cpus"), "servers={1!r}, the processors of each node's job"),
    **dict.fromkeys(("n_workers", "jobs", "nodes"), "cluster.scale({1!r}), or cluster.adapt(0, {1!r})"),
    **dict.fromkeys(("queue", "partition"), "SlurmCluster(['--partition={1}'])"),
    **dict.fromkeys(("project", "account"), "SlurmCluster(['--account={1}'])"),
    "walltime": "SlurmCluster(['--time={1}'])",
    "memory": "SlurmCluster(['--mem={1}'])",
    **dict.fromkeys(("job_extra", "job_extra_directives"), "SlurmCluster([...]), options of sbatch"),
    "log_directory": "log_dir={1!r}",
}

# Arguments of an executor.
OF_EXECUTORS: Final[Table] = {
    **dict.fromkeys(("max_workers", "nworkers"), "leave it out: as many calls run as there are servers"),
    "mp_context": "leave it out: the servers run already",
    **dict.fromkeys(("initializer", "initargs"), _SETUP),
    "max_tasks_per_child": "client.restart_server(location)",
}

_CLIENT_OF_IT: Final = "`with Client() as client:` in its block"

# Attributes of a cluster.
OF_OPEN_CLUSTERS: Final[Table] = {
    **dict.fromkeys(("workers", "worker_spec"), "client.servers().result(), or cluster.status()"),
    "dashboard_link": _MONITOR,
    **dict.fromkeys(("get_client", "scheduler_address", "connect_client_sync"), _CLIENT_OF_IT),
    **dict.fromkeys(("start_and_connect_sync", "start_cluster_sync"), _CLIENT_OF_IT),
    **dict.fromkeys(("submit", "map", "run"), "of a Client: `with cluster, Client() as client:`"),
    **dict.fromkeys(("scale_up", "scale_down"), "cluster.scale(n)"),
    **dict.fromkeys(("get_logs", "logs"), "`dispycosnode --debug` and `dispycos dump` in a terminal"),
    **dict.fromkeys(("wait_for_workers", "wait_for_engines"), _WAITS),
    **dict.fromkeys(("shutdown", "stop", "terminate"), "cluster.close()"),
    "print_status": "cluster.status(), or `dispycos status` in a terminal",
}

# Attributes of a Client.
METHODS: Final[Table] = {
    "gather": "gather(futures).result(), with `from dispycos import gather`",
    **dict.fromkeys(("scatter", "put", "publish_dataset", "list_datasets", "get_dataset"), _DATA),
    **dict.fromkeys(("replicate", "rebalance"), _DATA),
    **dict.fromkeys(("push", "pull", "sync_imports"), _NAMES_THERE),
    **dict.fromkeys(("compute", "persist", "remote", "apply", "apply_sync"), _CALL),
    **dict.fromkeys(("futures_of", "get_result"), "what client.submit(f, x) gives, kept by the program"),
    "get": "future.result(), or gather(futures).result()",
    "wait": "wait(futures).result(), with `from dispycos import wait`",
    "cancel": "future.cancel()",
    "retry": "client.options(retries=2).submit(f, x)",
    "upload_file": "Client([module, 'file']): what its tasks need",
    "get_executor": "client.executor()",
    **dict.fromkeys(("scheduler_info", "nthreads", "ncores", "ids", "available_resources"), _SERVERS),
    **dict.fromkeys(("cluster_resources", "get_worker_logs"), "`dispycos status` in a terminal"),
    **dict.fromkeys(("who_has", "has_what", "processing", "call_stack"), _TASKS),
    "print_status": "`dispycos status` in a terminal",
    "dashboard_link": _MONITOR,
    **dict.fromkeys(("wait_for_workers", "wait_for_engines"), _WAITS),
    "retire_workers": "client.close_server(location)",
    "restart": "client.restart_node(address), or client.restart_server(location), for each of client.nodes() "
    "or client.servers()",
    "shutdown": "client.close().result()",
    **dict.fromkeys(("register_plugin", "register_worker_plugin", "register_worker_callbacks"), _SETUP),
    **dict.fromkeys(("run_on_scheduler", "run_coroutine"), _PLACES),
    **dict.fromkeys(("queue_status", "outstanding", "get_task_stream", "profile"), _MONITOR),
    **dict.fromkeys(("purge_results", "purge_everything", "spin"), _RELEASED),
    "abort": "future.cancel(), of each",
    **dict.fromkeys(("get_versions", "get_events"), "`dispycos dump` in a terminal"),
    **dict.fromkeys(("apply_async", "map_async", "starmap_async"), _FUTURE),
    **dict.fromkeys(("imap", "map_sync"), "client.map(f, items): it is lazy, and in order"),
    "imap_unordered": "as_completed([client.submit(f, x) for x in items]), of dispycos",
    "starmap": "client.map(f, firsts, seconds)",
    "terminate": "client.close(terminate=True).result()",
    "join": "client.close().result(), which waits for what runs",
    "load_balanced_view": "the client itself: client.submit(f, x), client.map(f, items)",
    **dict.fromkeys(("direct_view", "broadcast_view", "execute", "activate", "targets"), _PLACES),
    "__getitem__": _PLACES,
    "__setitem__": _NAMES_THERE,
}

# Attributes of a Future.
OF_FUTURES: Final[Table] = {
    "get": "future.result()",
    "ready": "future.done()",
    "wait": "wait([future]).result(), with `from dispycos import wait`",
    "successful": "future.done() and future.exception() is None",
    "status": "future.done(), future.running(), future.cancelled()",
    "traceback": "future.exception(), whose cause is the traceback from there",
    "add_callback": "future.add_done_callback(f)",
    "abort": "future.cancel()",
    "release": _RELEASED,
    **dict.fromkeys(("get_dict", "r"), "future.result()"),
    **dict.fromkeys(("stdout", "stderr", "display_outputs"), "what a call prints is printed by its node"),
    **dict.fromkeys(
        ("wait_interactive", "progress"), "progress([future]), with `from dispycos import progress`"
    ),
    **dict.fromkeys(("engine_id", "msg_ids", "id"), "future.task, which has a name, a number and a location"),
    "retry": "client.options(retries=2).submit(f, x), where a server may be lost",
    "key": "str(future.task)",
}

# Attributes of what client.map gives.
OF_MAPS: Final[Table] = {
    "get": "list(client.map(f, items))",
    "__getitem__": "list(client.map(f, items)): a map gives results as they come",
}

# Attributes of what as_completed gives.
OF_COMPLETED: Final[Table] = {
    **dict.fromkeys(("add", "update"), "another as_completed(futures); or a task for each chain of calls"),
    **dict.fromkeys(
        ("count", "is_empty", "has_ready"), "wait(futures, timeout=0).result(): done and not done"
    ),
    **dict.fromkeys(("next_batch", "batches"), "wait(futures, return_when='FIRST_COMPLETED').result()"),
    "clear": "leave the loop: the futures go on",
}

# Attributes of a method of an object in a server.
OF_REMOTE_METHODS: Final[Table] = {
    "remote": "without it: thing.method(x), which answers an Operation: .result(), yield or await",
}

# Arguments of dispycos.expose.
OF_EXPOSE: Final[Table] = {
    "max_concurrency": "concurrency={1!r}",
    "max_restarts": "leave it out: what the object held is gone with its server; make a new one",
    **dict.fromkeys(
        ("name", "lifetime"), "send the object to who needs it: it lives while somebody refers to it"
    ),
    **dict.fromkeys(("num_cpus", "num_gpus", "resources"), "client.object_at(node, Class)"),
}

# Arguments of submit, map, options and others that are not the function's.
OPTIONS: Final[Table] = {
    **dict.fromkeys(("retries", "timeout", "priority", "max_worker_deaths"), "client.options({0}={1!r})"),
    **dict.fromkeys(("max_retries", "retry"), "client.options(retries={1!r})"),
    **dict.fromkeys(("workers", "targets"), _ONE_PLACE),
    "block": "client.submit(f, x).result() waits, client.submit(f, x) does not",
    "allow_other_workers": "leave it out: what is not sent to one place goes to any",
    **dict.fromkeys(("resources", "num_gpus", "memory"), _RULES),
    "num_cpus": "a server is one processor; see dispycosnode --cpus",
    **dict.fromkeys(("actor", "lifetime", "max_concurrency", "max_restarts"), _ACTOR),
    "runtime_env": "its modules and files are the components: Client([module, 'file'])",
    "pure": "leave it out: each call runs",
    **dict.fromkeys(("key", "name"), "leave it out: each call has a number"),
    "batch_size": "client.map(f, items, chunksize={1!r})",
    **dict.fromkeys(("callback", "error_callback"), "future.add_done_callback(f)"),
}

# Arguments of wait, gather, as_completed and progress.
OF_WAITING: Final[Table] = {
    "num_returns": "return_when='FIRST_COMPLETED', or as_completed(futures)",
    "with_results": "for future in as_completed(futures): future.result()",
    **dict.fromkeys(("errors", "return_exceptions", "raise_errors"), _WITHOUT_FAILURES),
    "fetch_local": "leave it out: results come to the client",
    **dict.fromkeys(("notebook", "multi"), "leave it out: it is seen where it draws"),
    "direct": "leave it out: servers and client talk directly",
}

# Names of the module.
NAMES: Final[Table] = {
    **dict.fromkeys(("init", "is_initialized", "Cluster"), _CLUSTER),
    "SLURMCluster": "SlurmCluster(['--time=60'], servers=8)",
    **dict.fromkeys(("require", "depend", "dependent"), _RULES),
    **dict.fromkeys(("parallel", "interactive"), _CALL),
    "remote": f"{_CALL}, or client.object_at(None, Class): nothing is decorated",
    "get": "future.result(), or gather(futures).result()",
    "put": _DATA,
    **dict.fromkeys(("delayed", "compute"), _CALL),
    "map": "client.map(f, items)",
    "submit": _FUTURE,
    "cancel": "future.cancel()",
    "kill": "thing.close(), of an object in a server",
    "get_actor": "send the object to who needs it, or find a task by `yield Task.locate(name)`",
    "Future": "what client.submit(f, x) gives",
    "ObjectRef": "what client.submit(f, x) gives",
    "shutdown": "client.close().result()",
    "fire_and_forget": "nothing: what was submitted runs, and closing the client waits for it",
    **dict.fromkeys(("get_client", "worker_client", "secede", "rejoin", "get_worker"), _INSIDE),
    **dict.fromkeys(("Variable", "Pub", "Sub", "Manager"), "a Channel, or client.object_at(None, Class)"),
    "Pool": "`with LocalCluster(4):`, and client.map(f, items); or LocalCluster(4).executor()",
    "Process": "client.rtask(f, x) for a task, client.submit(f, x) for a function",
    "SysTask": "Task; programs of pycos run as they are by `python -m dispycos.compat PROGRAM`",
    "JobCluster": "Client([function]) and client.submit(function, x)",
    "SharedJobCluster": "Client([function]) and client.schedule('HOST')",
    "HTTPServer": "`from dispycos.httpd import HTTPServer`",
    "ClusterExecutor": "`from dispycos.workers import ClusterExecutor`, or client.executor()",
    **dict.fromkeys(("Worker", "Nanny"), "dispycosnode, in a terminal of each machine"),
    "Queue": "a task's mailbox (task.send, yield task.receive()) or a Channel",
}  # fmt: skip
