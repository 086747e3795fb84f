"""Ways to a server: tunnels, ssh, specifications, and the document's example program."""

from __future__ import annotations

import select
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from dispycos.easycluster import Client, generate_key, parse_connection_spec
from dispycos.errors import HostNotFound
from tests.helpers import ROOT, run_python
from tests.process.easycluster.conftest import listener
from tests.process.gateways.sshd import Sshd
from tests.process.kernel.pythons import interpreter

DEMO = ROOT / "examples" / "easycluster_demo.py"
CONNECT = ROOT / "examples" / "easycluster_connect.py"


class Tunnel:
    """Carries one connection to a port; changes a byte of what comes from there when told to."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.spoil = False
        self._inside = port
        self._thread = threading.Thread(target=self._run, name="tunnel")
        self._thread.start()

    def _run(self) -> None:
        outer, _ = self._listener.accept()
        with self._listener, outer, socket.create_connection(("127.0.0.1", self._inside)) as inner:
            while True:
                for one in select.select([outer, inner], [], [], 30)[0]:
                    try:
                        data = bytearray(one.recv(65536))
                    except ConnectionResetError:
                        return
                    if not data:
                        return
                    if self.spoil and one is inner:
                        data[len(data) // 2] ^= 1
                    (outer if one is inner else inner).sendall(data)

    def join(self) -> None:
        self._thread.join(20)


@pytest.mark.row("EC-09")
def test_a_server_is_reached_through_a_tunnel(serving, definitions):
    tunnel = Tunnel(serving.port)
    with Client(serving.key, "localhost", tunnel.port, definitions=definitions) as rmt:
        assert rmt.addvals("x" * 100_000, "y")[-1] == "y"
        assert repr(rmt) == f"<Client localhost:{tunnel.port}>"
    tunnel.join()


@pytest.mark.row("EC-07")
def test_a_changed_byte_ends_the_connection_and_is_never_read(serving, definitions):
    tunnel = Tunnel(serving.port)
    rmt = Client(serving.key, "127.0.0.1", tunnel.port, definitions=definitions)
    assert rmt.addvals(1, 2) == 3
    tunnel.spoil = True
    with pytest.raises(OSError, match="gone"):
        rmt.addvals(1, 2)
    assert not rmt.connected
    rmt.close()
    tunnel.join()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory) -> Iterator[Sshd]:
    made = Sshd(tmp_path_factory.mktemp("sshd"))
    made.host("far")
    made.host("old", before="echo 'SSH says no' >&2; exit 1;")
    yield made
    made.close()


@pytest.mark.row("EC-08", "EC-15")
def test_by_ssh_nothing_is_needed_there_but_a_python(sshd, definitions):
    extra = ("-F", str(sshd.config))
    python = f"{sys.executable} -I -S"  # without any package
    with Client(None, "far", ssh=True, rpython=python, extra_args=extra, definitions=definitions) as rmt:
        assert rmt.addvals(3, 4) == 7
        assert rmt.eval("__import__('sys').flags.no_site") == 1
        assert rmt.TestObject3(5).double() == 10
        assert repr(rmt) == "<Client far>" and rmt.peername is None
        pid = rmt.os.getpid()
        rmt.reconnect()
        assert rmt.os.getpid() != pid


@pytest.mark.row("EC-43")
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_python_there_may_be_another_one(sshd, definitions, version, capfd):
    extra = ("-F", str(sshd.config))
    there = interpreter(version)
    with Client(None, "far", ssh=True, rpython=there, extra_args=extra, definitions=definitions) as rmt:
        assert rmt.eval("'%d.%d' % __import__('sys').version_info[:2]") == version
        assert rmt.addvals([1, {"a": 2.5}], [b"c"]) == [1, {"a": 2.5}, b"c"]
        assert rmt.TestObject1({"x"}).newobj is not None
        with pytest.raises(KeyError) as caught:
            rmt.fail()
        assert caught.value.args == ("no", 3)


@pytest.mark.row("EC-08")
def test_what_ssh_says_is_in_the_error(sshd, tmp_path):
    extra = ("-F", str(sshd.config))
    with pytest.raises(HostNotFound, match="SSH says no"):
        Client(None, "old", ssh=True, extra_args=extra)
    old = tmp_path / "python2"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (2, 7, 18, 'final', 0)\nexec(sys.argv[-1])\n"
    )
    old.chmod(0o755)
    with pytest.raises(ValueError, match=r"2\.7.*3\.11 or newer"):
        Client(None, "far", ssh=True, rpython=str(old), extra_args=extra)
    with pytest.raises(ValueError, match="ssh=True"):
        Client(generate_key(), "far", user="jdoe")


@pytest.mark.row("EC-12")
def test_from_spec_connects(serving, sshd):
    with Client.from_spec(f"127.0.0.1:{serving.port}:kf={serving.key_file}:compress=yes") as rmt:
        assert rmt.eval("2 + 2") == 4
    spec = f"far:ssh=yes:rpython={sys.executable}:extra=-F {sshd.config}"
    assert parse_connection_spec(spec)["extra_args"] == ("-F", str(sshd.config))
    with Client.from_spec(spec) as rmt:
        assert rmt.eval("2 + 2") == 4


PROGRAM = """
import sys
import optparse
import easycluster

options = optparse.OptionParser(description='Do some stuff')
easycluster.add_key_options(options)
opts, args = options.parse_args()
default_key = easycluster.key_from_options(opts)
remotes = []
for spec in args:
    params = easycluster.parse_connection_spec(spec, default_key=default_key)
    rmt = easycluster.Client(**params)
    remotes.append(rmt)
print(easycluster.eval_multi(remotes, '1 + 1'))
""".replace("import easycluster", "import dispycos.easycluster as easycluster")


@pytest.mark.row("EC-13")
def test_the_documents_program_runs_with_either_parser(serving, tmp_path):
    with listener(tmp_path) as odd:
        assert odd.key != serving.key
        host, oddhost = f"127.0.0.1:{serving.port}", f"localhost:{odd.port}:kf={odd.key_file}"
        code, out, err = run_python(PROGRAM, "-k", serving.key_file, host, oddhost)
        assert (code, out) == (0, "[2, 2]\n"), err
        code, out, err = run_python(CONNECT, "-k", serving.key_file, host, oddhost)
        assert code == 0, err
        assert out == f"127.0.0.1:{serving.port}: 1 + 1 = 2\n127.0.0.1:{odd.port}: 1 + 1 = 2\n"
        code, out, err = run_python(PROGRAM, "-K", serving.key.hex(), host)
        assert code == 0 and "can be seen by other users" in err


@pytest.mark.row("EC-41")
def test_the_demonstration_runs_with_servers_too(serving):
    spec = f"127.0.0.1:{serving.port}"
    code, out, err = run_python(DEMO, "-k", serving.key_file, spec, spec)
    assert code == 0 and err == ""
    assert out.splitlines()[-1] == "closed: OSError" and len(out.splitlines()) == 11
