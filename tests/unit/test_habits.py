"""Who writes the words of another library is told ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import dispycos
from dispycos import (
    Client,
    DispycosNodeAllocate,
    LocalCluster,
    NotSerializable,
    SlurmCluster,
    SSHCluster,
    as_completed,
    expose,
    gather,
    progress,
    wait,
)
from dispycos.client.executor import PoolExecutor
from dispycos.client.future import Future
from dispycos.guidance import habits, hints
from dispycos.httpd import HTTPServer
from dispycos.objects.remote import RemoteMethod
from dispycos.pickling import values
from dispycos.workers import ClientThread, ClusterExecutor


def plain(x: int) -> int:
    return x


def own(x: int, retries: int = 0) -> int:
    return x + retries


def refused() -> Future:
    return Future.refused("the client is closed")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Client(n_workers=4), "takes no n_workers=: `with LocalCluster(4):` around"),  # type: ignore[arg-type]
        (lambda: Client(node_setupp=plain), "did you mean node_setup=?"),  # type: ignore[arg-type]
        (lambda: LocalCluster(n_workers=4), "takes no n_workers=: LocalCluster(4) has four servers"),  # type: ignore[arg-type]
        (lambda: Client("tcp://head:8786"), "a scheduler is named by client.schedule('HOST')"),
        (lambda: Client().gather([]), "'Client' object has no attribute 'gather'; here it is: gather("),
        (lambda: Client().options(retries=1).scatter, "no attribute 'scatter'; here it is"),
        (lambda: refused().get(), "'Future' object has no attribute 'get'; here it is: future.result()"),
        (lambda: Client().submit(plain, 1, retries=2), "hands retries= on to plain, which does not take it"),
        (lambda: Client().rtask(plain, 1, workers="a"), "as an option it is: client.rtask_at(location, t"),
        (lambda: Client().rtask_at("a", plain, 1, retries=2), "rtask_at() hands retries= on to plain"),
        (lambda: Client().push({}), "here it is: client.run_everywhere(f, x), where f sets a `global`"),
        (lambda: dispycos.Cluster, "no attribute 'Cluster'; here it is: `with LocalCluster(4):`"),
        (lambda: dispycos.delayed, "no attribute 'delayed'; here it is: client.submit(f, x).result()"),
        (lambda: Client().map(plain, [], retries=2), "map() takes no retries=: client.options(retries=2)"),  # type: ignore[arg-type]
        (lambda: Client().map(plain, [], chunk_size=2), "takes no chunk_size=; did you mean chunksize=?"),  # type: ignore[arg-type]
        (lambda: Client().options(num_gpus=1), "options() takes no num_gpus=: rules for nodes"),  # type: ignore[arg-type]
        (lambda: Client().run_everywhere(plain, workers=[1]), "which does not take it; as an option it is"),
        (lambda: Client()[:], "here it is: client.run_everywhere(f) for all servers"),  # type: ignore[index]
        (lambda: LocalCluster(1, pulse=1), "takes no pulse=; did you mean pulse_interval=?"),  # type: ignore[arg-type]
        (lambda: LocalCluster(1).scale(n=4), "scale() takes no n=: cluster.scale(4), so many nodes"),  # type: ignore[call-arg]
        (lambda: LocalCluster(1).scale(node=4), "scale() takes no node=; did you mean nodes=?"),  # type: ignore[call-arg]
        (lambda: LocalCluster(1).adapt(1, 2, minimum_jobs=4), "cluster.adapt(1, 8), nodes, each with"),  # type: ignore[call-arg]
        (lambda: Client().executor(zoom=1), "executor() takes no zoom=; it takes none"),  # type: ignore[arg-type]
        (lambda: LocalCluster(1).dashboard_link, "no attribute 'dashboard_link'; here it is: HTTPServer("),  # type: ignore[attr-defined]
        (lambda: LocalCluster(1).executor(max_workers=4), "executor() takes no max_workers=: leave it out"),  # type: ignore[arg-type]
        (lambda: SSHCluster(["a"], workers=4), "SSHCluster() takes no workers=: servers=4, on each host"),  # type: ignore[arg-type]
        (lambda: SlurmCluster(queue="big"), "takes no queue=: SlurmCluster(['--partition=big'])"),  # type: ignore[arg-type]
        (lambda: wait([], num_returns=1), "takes no num_returns=: return_when='FIRST_COMPLETED'"),  # type: ignore[arg-type]
        (lambda: as_completed([]).add, "'Completed' object has no attribute 'add'; here it is: another"),  # type: ignore[attr-defined]
        (lambda: expose(int, max_concurrency=8), "expose() takes no max_concurrency=: concurrency=8"),  # type: ignore[arg-type]
        (lambda: DispycosNodeAllocate("*", cpu=8), "takes no cpu=; did you mean cpus=?"),  # type: ignore[arg-type]
        (lambda: ClusterExecutor(max_workers=8), "ClusterExecutor() takes no max_workers=: leave it out"),  # type: ignore[arg-type]
        (lambda: ClientThread(print, hosts=""), "ClientThread() takes no hosts=; did you mean host=?"),  # type: ignore[arg-type]
        (lambda: HTTPServer(Client(), zoom=1), "HTTPServer() takes no zoom=; it takes client, host, port"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_word_of_another_library_is_answered_with_ours(call: Callable[[], Any], said: str) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        call()
    assert said in str(caught.value)


def test_what_a_function_takes_itself_is_its_own() -> None:
    with pytest.raises(dispycos.TaskRejected):  # nobody takes it, for the client was not scheduled
        Client().submit(own, 1, retries=2).result(0)
    hints.refuse_options("submit", max, {"key": 1})  # nobody knows what it takes
    hints.refuse_options("submit", lambda **more: more, {"retries": 1})


def test_no_word_is_one_of_ours_and_none_is_shown() -> None:
    assert not set(dir(Client())) & set(habits.METHODS) and "submit" in dir(Client())
    assert not set(dir(refused())) & set(habits.OF_FUTURES) and "done" in dir(refused())
    assert not set(dir(as_completed([]))) & set(habits.OF_COMPLETED)
    assert not hasattr(Client, "gather") and not hasattr(dispycos, "delayed")
    assert not set(dir(RemoteMethod(None, "m", None))) & set(habits.OF_REMOTE_METHODS)  # type: ignore[arg-type]
    assert not set(dir(LocalCluster(1))) & set(habits.OF_OPEN_CLUSTERS)
    assert not set(habits.NAMES) & set(dispycos.__all__)


@pytest.mark.parametrize(
    ("taken_by", "table"),
    [
        ((Client,), habits.ARGUMENTS),
        ((LocalCluster,), habits.OF_CLUSTERS),
        ((SSHCluster,), habits.OF_SSH),
        ((SlurmCluster,), habits.OF_SLURM),
        ((LocalCluster.scale, LocalCluster.adapt), habits.OF_SCALING),
        ((Client.map, Client.options, Client.run_everywhere), {"timeout": "", **habits.OPTIONS}),
        ((wait, gather, as_completed, progress), habits.OF_WAITING),
        ((expose,), habits.OF_EXPOSE),
        ((ClusterExecutor, Client.executor, LocalCluster.executor), habits.OF_EXECUTORS),
    ],
)
def test_no_argument_of_ours_is_called_another_librarys(
    taken_by: tuple[Any, ...], table: habits.Table
) -> None:
    ours = {name for each in taken_by for name in inspect.signature(each).parameters}
    assert set(table) & ours <= {"retries", "timeout", "priority", "max_worker_deaths"}
    for name, said in table.items():
        assert "{" not in said.format(name, 1)


def test_what_stays_in_its_program_says_so() -> None:
    staying = (Client(), Client().options(retries=1), LocalCluster(1), PoolExecutor(), refused())
    for value in staying:
        with pytest.raises(
            NotSerializable, match=r"^argument 2 of plain: value\['a'\]: an? \w+ stays in its program"
        ):
            values.dump_call((1, {"a": value}), {}, name="plain")
