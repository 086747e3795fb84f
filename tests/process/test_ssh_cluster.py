"""SSHCluster: nodes on hosts that have only Python, by a real sshd on this machine."""

from __future__ import annotations

import logging
import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import Client, SSHCluster, keyfile
from dispycos.errors import TaskRejected
from dispycos.node.embedded import NodeNotStarted
from dispycos.runtime import runtime
from tests.helpers import wait_until
from tests.process.clusters import LIMIT
from tests.process.ssh_hosts import Hosts, bare, hosts, nothing_left, processes

__all__ = ["bare", "hosts"]


def naps(gate: str, number: int, task: Any = None) -> Iterator[object]:
    print("began", number)
    open(f"{gate}-{number}", "w").close()
    while not os.path.exists(gate):
        yield task.sleep(0.02)
    return number, os.getpid()


def ssh_cluster(hosts: Hosts, *names: str, **options: Any) -> SSHCluster:
    own = [
        "--ip_addr=127.0.0.1",
        "--min_pulse_interval=0.1",
        *options.pop("options", ()),
    ]  # tests may be root
    return SSHCluster(
        {name: [f"--name=at-{name}"] for name in names},
        python=hosts.python,
        ssh_config=hosts.sshd.config,
        servers=1,
        options=own,
        **options,
    )


@pytest.mark.row("EX-01", "SE-06", "SE-51", "R-11")
@pytest.mark.usefixtures("program")
def test_hosts_have_nodes_as_many_as_asked_for_others_stand_in_and_nothing_is_left(
    hosts: Hosts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, "dispycos")
    monkeypatch.setenv("DISPYCOS_CLIENT_HOST", "127.0.0.1")
    with ssh_cluster(hosts, "refused", "one", "two", nodes=2) as cluster, Client() as client:
        assert cluster._service is not None
        unreached = cluster._service.why_unreached
        wait_until(lambda: any(why.startswith("nodes are being started by ssh: ") for why in unreached()))
        with pytest.raises(ValueError, match="nodes must be at most 3, not 4"):
            cluster.scale(4)
        # One refuses, so two others are used; ssh says why.
        wait_until(lambda: len(client.servers().result()) == 2, LIMIT, "2 servers")
        status = cluster.status()
        assert set(status["hosts"]) == {"one", "two"} and status["nodes"] == {"up": 2}
        assert {node.facts.name for node in cluster._service.machine.nodes.values()} == {"at-one", "at-two"}
        assert repr(cluster).endswith("nodes 2 of 3>"), cluster
        assert "Permission denied" in status["failed"]["refused"]
        assert any(why.startswith("refused: ") and "Permission denied" in why for why in unreached())
        assert "did not start: refused: " in caplog.text and "tried again in 10 s" in caplog.text

        # The one that is too many ends with its task, and not before; what tasks print is shown.
        gate = str(tmp_path / "one")
        tasks = [client.rtask(naps, gate, number).result(LIMIT) for number in range(2)]
        wait_until(lambda: all(os.path.exists(f"{gate}-{number}") for number in range(2)))
        assert runtime.present is not None
        key = runtime.present.endpoint.keyring.own.reveal().hex()
        account = keyfile.default_path()
        assert not account.exists() or key not in account.read_text()  # it lives in memory only
        fewer = cluster.scale(1)
        wait_until(lambda: "is asked to end when its tasks have ended" in caplog.text, LIMIT)
        assert cluster.status()["nodes"] == {"up": 1, "draining": 1}
        assert not fewer.done() and all(task.is_alive() for task in tasks)
        open(gate, "w").close()
        assert [task.value(LIMIT)[0] for task in tasks] == [0, 1]
        assert fewer.result(LIMIT) == 1
        ended = capfd.readouterr().out
        assert "one: began " in ended and "two: began " in ended and "INFO" not in ended

        # A node that dies is replaced at once, by one on another host.
        [died] = cluster.status()["hosts"]
        [server] = {task.value()[1] for task in tasks} & set(processes(hosts.python))
        [node] = [one for one in psutil.Process(server).parents() if "dispycos.node.carried" in one.cmdline()]
        os.kill(node.pid, signal.SIGKILL)
        wait_until(lambda: f"ended: {died}: " in caplog.text, LIMIT)
        wait_until(lambda: cluster.status()["nodes"] == {"up": 1}, LIMIT)
        assert died not in cluster.status()["hosts"] and died in cluster.status()["failed"]
        assert sum(client.map(abs, [-1, -2])) == 3
    nothing_left(hosts)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.row("R-99", "SE-52")
@pytest.mark.usefixtures("program")
def test_a_host_whose_node_refuses_its_options_is_told_once_and_given_up(
    hosts: Hosts, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with ssh_cluster(hosts, "one", options=["--serve=0"]) as cluster, Client() as client:
        call, everywhere = client.submit(abs, -1), client.run_everywhere(abs, -1)
        one = cluster.scale(1)
        with pytest.raises(
            NodeNotStarted, match="more than 0 nodes: one: its node refuses to start: --serve 0"
        ):
            one.result(LIMIT)
        with pytest.raises(NodeNotStarted, match="--serve 0 is neither"):
            cluster.scale(1).result(LIMIT)
        status = cluster.status()
        assert (status["nodes"], status["hosts"], list(status["failed"])) == ({}, {}, ["one"])
        # What waited is refused with the host's words, and what comes later.
        with pytest.raises(
            TaskRejected, match=r"abs runs nowhere: no host .* one: its node refuses to start"
        ):
            everywhere.result(LIMIT)
        for refused in (call, client.submit(abs, -1)):
            with pytest.raises(TaskRejected, match=r"never began .* --serve 0 is neither"):
                refused.result(LIMIT)
        assert cluster.scale(0).result(LIMIT) == 0
    assert caplog.text.count("did not start: one: its node refuses to start: --serve 0 is neither") == 1
    assert "that host is not tried again" in caplog.text
    assert "what waits for a server is refused: no host of this cluster can have a node" in caplog.text
    assert "--serve" not in capfd.readouterr().out
    nothing_left(hosts)


@pytest.mark.long("a second node by ssh, for an option that root alone has")
@pytest.mark.row("DN-39", "SE-52")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
@pytest.mark.usefixtures("program")
def test_a_node_of_root_runs_tasks_as_another_account(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPYCOS_CLIENT_HOST", "127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="dispycos-test-") as folder:
        os.chmod(folder, 0o711)  # others pass through it, as through /tmp
        hosts = Hosts(Path(folder), bare)
        os.chmod(hosts.files, 0o711)
        try:
            with ssh_cluster(hosts, "one", options=["--run_as=nobody"]), Client() as client:
                assert client.submit(os.getuid).result(LIMIT) == pwd.getpwnam("nobody").pw_uid
            nothing_left(hosts)
        finally:
            hosts.sshd.close()


@pytest.mark.row("R-99", "SE-53")
@pytest.mark.parametrize(
    ("hosts_given", "options", "said"),
    [
        ([], {}, "hosts must be a list"),
        ("host1", {}, "hosts must be a list"),
        (["a", "a"], {}, "host 'a' stands twice"),
        (["a;b"], {}, "neither the name nor the address"),
        (["a//popen"], {}, r"is no \[USER@\]HOST"),
        (["root@-oProxyCommand=x"], {}, "neither the name nor the address"),
        (["a"], {"nodes": 2}, "nodes must be at most 1, not 2"),
    ],
)
def test_what_is_no_host_is_told_where_it_is_named(hosts_given: Any, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SSHCluster(hosts_given, **options)
