"""The manifests of Kubernetes: held against its schema, and their commands run on several hosts.

What a kubelet does to the commands is done here by hand: the arguments and variables, the
name of each service in /etc/hosts, volumes as it makes them. No cluster of Kubernetes runs.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dispycos.commands import manifests
from tests.helpers import Program, wait_until
from tests.netns.hosts import Host, Network
from tests.netns.test_containers import taken

Make = Callable[[int], Network]

PROGRAMS = {"dispycos": "dispycos", "dispycosnode": "dispycos.node"}
# The oldest that is in use somewhere, and the newest that is known here.
VERSIONS = ("1.27", "1.31", "1.37")


def documents(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, Any]]:
    assert manifests.kubernetes(options) == 0
    return list(yaml.safe_load_all(capsys.readouterr().out))


def containers(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    pods = [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Deployment"]
    return {pod["containers"][0]["name"]: {**pod["containers"][0], "pod": pod} for pod in pods}


@pytest.mark.row("DN-42")
def test_the_schema_takes_the_manifests_and_no_unknown_field(capsys: pytest.CaptureFixture[str]) -> None:
    found = documents(
        capsys, "--image", "registry.example:5000/team/dispycos:7", "--nodes", "3", "--cpus", "4"
    )
    kinds = sorted(one["kind"] for one in found)
    assert kinds == [*["Deployment"] * 2, *["NetworkPolicy"] * 2, *["Service"] * 2, "ServiceAccount"]
    for one in found:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    found[-1]["spec"]["policyType"] = ["Ingress"]
    with pytest.raises(kubernetes_validate.ValidationError, match="policyType"):
        kubernetes_validate.validate(found[-1], VERSIONS[1], strict=True)


@pytest.mark.row("DN-42", "SE-10")
def test_pods_have_no_rights_and_their_key_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    found = documents(capsys, "--cpus", "4")
    (account,) = [one for one in found if one["kind"] == "ServiceAccount"]
    assert account["automountServiceAccountToken"] is False
    assert not [one for one in found if one["kind"] == "Secret"]
    for container in containers(found).values():
        pod, context = container["pod"], container["securityContext"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        (variable,) = container["env"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert volumes["key"]["secret"] == {"secretName": "dispycos-key", "defaultMode": 0o400}
        assert variable == {"name": "DISPYCOS_SECRET_FILE", "value": f"{mounts['key']}/dispycos_key"}
        assert not [word for word in container["args"] if "secret" in word]
        drained = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        if drained:
            # Something is left for the end after the drain.
            assert int(drained[-1]) + 20 < pod["terminationGracePeriodSeconds"]


@pytest.mark.row("DN-42")
def test_labels_names_and_ports_fit_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = documents(capsys, "--cpus", "4")
    pods = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "Deployment"}
    ports = {"dispycos-scheduler": 9705, "dispycos-node": 9706}
    for name, spec in pods.items():
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        (port,) = spec["template"]["spec"]["containers"][0]["ports"]
        assert port["containerPort"] == ports[name]
        for kind, selector in (("Service", "selector"), ("NetworkPolicy", "podSelector")):
            (one,) = [one for one in found if one["kind"] == kind and one["metadata"]["name"] == name]
            chosen = one["spec"][selector]
            assert chosen.get("matchLabels", chosen).items() <= labels.items()
            if kind == "Service":
                assert one["spec"]["clusterIP"] == "None" and one["spec"]["ports"][0]["port"] == ports[name]
            else:
                (rule,) = one["spec"]["ingress"]
                (of,) = rule["from"]
                assert of["podSelector"]["matchLabels"].items() <= labels.items()
                assert rule["ports"][0]["port"] == ports[name]
                # One for each server.
                assert rule["ports"][0].get("endPort", 9705) == ports[name] + (name == "dispycos-node") * 4
    node = containers(found)["node"]
    assert node["args"][-1] == "dispycos-scheduler:9705"
    assert node["args"][node["args"].index("--cpus") + 1] == "4" == node["resources"]["limits"]["cpu"]
    for container in containers(found).values():
        assert taken([*container["command"], *container["args"]])


@pytest.mark.row("DN-42")
@pytest.mark.parametrize(
    "options", [["--image", "a b"], ["--image", "x\ny: z"], ["--nodes", "0"], ["--cpus", "many"], ["more"]]
)
def test_what_is_no_image_or_number_is_wrong_use(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        manifests.kubernetes(options)
    assert capsys.readouterr().out == ""


class Pods:
    """Commands as pods run them, each on a host of its own, with names that we give."""

    def __init__(self, tmp_path: Path, key: Path, found: list[dict[str, Any]]) -> None:
        self._path = tmp_path
        self._containers = containers(found)
        secret = tmp_path / "secret" / "..data"
        secret.mkdir(parents=True)
        # As a secret is mounted: a link, and the group of the pod may read.
        (secret / "dispycos_key").write_text(key.read_text())
        (secret / "dispycos_key").chmod(0o440)
        self._key = tmp_path / "secret" / "dispycos_key"
        self._key.symlink_to("..data/dispycos_key")
        self._hosts = tmp_path / "hosts"
        self.names: dict[str, list[str]] = {}

    def name(self, name: str, *hosts: Host) -> None:
        """Have a service's name stand for the addresses of these."""
        self.names[name] = [host.address for host in hosts]
        lines = [f"{address} {name}" for name, addresses in self.names.items() for address in addresses]
        # In place, since it is mounted.
        self._hosts.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")

    def volume(self, host: Host, name: str) -> Path:
        made = self._path / f"{name}-{host.number}"
        if not made.exists():
            made.mkdir()
            made.chmod(0o2777)  # as an emptyDir with a group
        return made

    def command(self, host: Host, words: list[str]) -> list[str]:
        program, *rest = words
        rest = [word.replace("/journal", str(self.volume(host, "journal"))) for word in rest]
        bound = 'mount --bind "$0" /etc/hosts && exec "$@"'
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", bound, str(self._hosts)]
        return [*inside, sys.executable, "-m", PROGRAMS[program], *rest]

    def env(self, host: Host) -> dict[str, str]:
        return {"DISPYCOS_SECRET_FILE": str(self._key), "TMPDIR": str(self.volume(host, "tmp"))}

    def start(self, host: Host, kind: str) -> contextlib.AbstractContextManager[Program]:
        container = self._containers[kind]
        # Tests may be root, whom pods refuse.
        more = ["--allow_root"] if kind == "node" else []
        return host.start(
            self.command(host, [*container["command"], *container["args"], *more]), env=self.env(host)
        )

    def probe(self, host: Host, kind: str) -> int:
        words = self._containers[kind]["livenessProbe"]["exec"]["command"]
        return host.run(self.command(host, words), env=self.env(host)).code

    def stop(self, host: Host, kind: str) -> int:
        words = self._containers[kind]["lifecycle"]["preStop"]["exec"]["command"]
        return host.run(self.command(host, words), env=self.env(host), timeout=60).code


CLIENT = """
import sys
import time

from dispycos import Client, Pycos, Scheduler
from dispycos.net import named

named._LOOK_SOON = named._LOOK_AGAIN = 0.2  # seconds; nobody here waits for half a minute

Pycos(node=sys.argv[1], udp_port=0)
if len(sys.argv) == 3:
    Scheduler(nodes=["dispycos-node"])
client = Client()
client.schedule("dispycos-scheduler" if len(sys.argv) == 2 else None).result()
for line in sys.stdin:
    while len(client.nodes().result()) != int(line):
        time.sleep(0.02)
    print("nodes", *sorted(client.nodes().result()), flush=True)
    print("sum", sum(client.map(abs, range(-4, 0))), flush=True)
client.close().result()
print("closed", flush=True)
"""


@pytest.mark.netns
@pytest.mark.row("DN-42", "DN-22", "DN-27", "DS-08")
def test_the_commands_of_the_manifests_make_a_cluster_that_grows_and_is_drained(
    network: Make, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    master, one, two, user = network(4).hosts
    pods = Pods(tmp_path, key, documents(capsys, "--cpus", "1"))
    pods.name("dispycos-scheduler", master)
    pods.name("dispycos-node")

    @contextlib.contextmanager
    def client(*options: str) -> Iterator[Program]:
        command = pods.command(user, ["dispycos"])
        command[command.index("-m") :] = ["-c", CLIENT, user.address, *options]
        with user.start(command, env=pods.env(user)) as program:
            yield program
            assert program.process.stdin
            program.process.stdin.close()
            program.wait_line("closed", 20)
            assert program.wait() == 0

    with pods.start(one, "node") as first, pods.start(master, "scheduler") as scheduler:
        first.wait_line("ready at", 20)
        scheduler.wait_line("ready at", 20)
        assert [pods.probe(one, "node"), pods.probe(master, "scheduler")] == [0, 0]
        with pods.start(two, "node") as second:
            second.wait_line("ready at", 20)
            with client() as program:
                program.write("2")
                assert program.wait_line("nodes", 20) == f"nodes {one.address} {two.address}"
                assert program.wait_line("sum") == "sum 10"
                # A pod is deleted: its node goes with nothing lost.
                assert pods.stop(two, "node") == 0
                assert second.wait() == 0
                program.write("1")
                assert program.wait_line("nodes", after=2) == f"nodes {one.address}"
            assert pods.probe(two, "node") == 1
        # A program with a scheduler of its own: the name is not there yet, then stands for one, then two.
        with client("own") as program, pods.start(two, "node") as second:
            second.wait_line("ready at", 20)
            wait_until(lambda: "trying again" in program.output, 20)
            pods.name("dispycos-node", one)
            program.write("1")
            assert program.wait_line("nodes", 20) == f"nodes {one.address}"
            pods.name("dispycos-node", one, two)
            program.write("2")
            assert program.wait_line("nodes", 20, after=3) == f"nodes {one.address} {two.address}"
