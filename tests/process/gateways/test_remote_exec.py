"""What can be run at a far end, and how it ends."""

from __future__ import annotations

import importlib.util
import re
import sys

import pytest

from dispycos.gateways import PopenGateway, RemoteError


def add(channel, first, second=0):
    for number in channel:
        channel.send(number + first + second)


def uses_a_global(channel):
    channel.send(sys.executable)


def annotated(channel: importlib.util.not_there, number: int) -> importlib.util.not_there:
    channel.send(number)


def a_generator(channel):
    yield channel.send(1)


@pytest.mark.row("EX-06")
def test_indented_source_runs_with_its_channel(gateway):
    channel = gateway.remote_exec(
        """
        first = channel.receive()
        if first:
            channel.send(first * 2)
        """
    )
    channel.send(21)
    assert channel.receive(10) == 42


@pytest.mark.row("EX-06")
def test_remote_exec_does_not_wait_for_the_code(gateway):
    channel = gateway.remote_exec("channel.receive(); channel.send('done')")
    assert not channel.isclosed()
    channel.send(None)
    assert channel.receive(10) == "done"


@pytest.mark.row("EX-06")
def test_a_syntax_error_arrives_on_the_channel(gateway):
    channel = gateway.remote_exec("def f(:\n")
    with pytest.raises(RemoteError, match="SyntaxError"):
        channel.receive(10)
    with pytest.raises(EOFError):
        channel.receive(10)


@pytest.mark.row("EX-07")
def test_a_module_is_sent_as_source_and_fails_with_its_own_lines(gateway, tmp_path):
    path = tmp_path / "travelling.py"
    path.write_text("import math\n\nchannel.send(math.floor(2.5))\nraise KeyError('planted')\n")
    spec = importlib.util.spec_from_file_location("travelling", path)
    module = importlib.util.module_from_spec(spec)
    channel = gateway.remote_exec(module)
    assert channel.receive(10) == 2
    with pytest.raises(RemoteError) as caught:
        channel.receive(10)
    assert f'File "{path}", line 4' in caught.value.formatted
    assert "raise KeyError('planted')" in caught.value.formatted


@pytest.mark.row("EX-08")
def test_remote_code_knows_that_it_is(gateway):
    assert gateway.remote_exec("channel.send(__name__)").receive(10) == "__channelexec__"


@pytest.mark.row("EX-13")
def test_the_end_of_remote_code_is_the_end_of_its_channel(gateway):
    channel = gateway.remote_exec("for number in range(3): channel.send(number)")
    channel.waitclose(10)
    assert channel.isclosed()
    assert [channel.receive(10) for _ in range(3)] == [0, 1, 2]
    for _ in range(3):
        with pytest.raises(EOFError):
            channel.receive(10)


@pytest.mark.row("EX-27")
def test_a_function_runs_with_its_arguments(gateway):
    channel = gateway.remote_exec(add, first=10, second=5)
    for number in range(3):
        channel.send(number)
        assert channel.receive(10) == number + 15


@pytest.mark.row("EX-27")
def test_annotations_need_not_be_known_remotely(gateway):
    assert gateway.remote_exec(annotated, number=3).receive(10) == 3


@pytest.mark.row("EX-27")
def test_what_depends_on_its_surroundings_is_refused_here(gateway):
    outer = 3

    def closure(channel):
        channel.send(outer)

    def without_channel(other):
        other.send(1)

    with pytest.raises(ValueError, match="global names sys"):
        gateway.remote_exec(uses_a_global)
    with pytest.raises(ValueError, match="uses outer of the function around it"):
        gateway.remote_exec(closure)
    with pytest.raises(ValueError, match="first parameter"):
        gateway.remote_exec(without_channel)
    with pytest.raises(ValueError, match="lambda"):
        gateway.remote_exec(lambda channel: None)
    with pytest.raises(TypeError, match="for a function"):
        gateway.remote_exec("pass", first=1)
    with pytest.raises(TypeError, match="int"):
        gateway.remote_exec(3)


@pytest.mark.row("EX-27")
def test_a_generator_function_without_tasks_says_what_it_needs(gateway):
    with pytest.raises(RemoteError, match="execmodel=task"):
        gateway.remote_exec(a_generator).receive(10)


@pytest.mark.row("EX-22")
@pytest.mark.parametrize(
    "end", ["raise SystemExit(3)", "raise KeyboardInterrupt", "import sys; sys.exit('no')"]
)
def test_remote_code_that_would_end_a_program_is_an_error_and_the_gateway_lives(gateway, end):
    channel = gateway.remote_exec(f"channel.send(1)\n{end}")
    assert channel.receive(10) == 1
    with pytest.raises(RemoteError, match=r"SystemExit|KeyboardInterrupt"):
        channel.waitclose(10)
    assert gateway.remote_exec("channel.send(2)").receive(10) == 2


@pytest.mark.row("EX-29")
def test_a_far_end_tells_its_status(gateway):
    channel = gateway.remote_exec("channel.send(1); channel.receive()")
    channel.receive(10)
    status = gateway.remote_status()
    assert (status.numexecuting, status.numchannels) == (1, 1)
    channel.send(None)
    channel.waitclose(10)
    assert gateway.remote_status().numchannels == 0


def test_a_gateway_is_opened_by_its_class_alone():
    gateway = PopenGateway()
    try:
        assert isinstance(gateway, PopenGateway)
        assert gateway.remote_exec("channel.send(6 * 7)").receive(10) == 42
    finally:
        gateway.exit()
        assert gateway.join(10)


@pytest.mark.row("EX-02", "EX-21")
def test_a_popen_gateway_is_a_child_in_its_maker_s_folder(tmp_path, run_python):
    """A program of its own: `PopenGateway()` opens it in the default group."""
    code, out, err = run_python(
        "import os, sys\n"
        "from dispycos.gateways import PopenGateway\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "gateway = PopenGateway()\n"
        "info = gateway._rinfo()\n"
        "parent = gateway.remote_exec('import os; channel.send(os.getppid())').receive(10)\n"
        "assert parent == os.getpid() != info.pid\n"
        "assert info.executable == sys.executable and info.platform == sys.platform\n"
        "assert info.version_info == tuple(sys.version_info)\n"
        "assert info.cwd == os.getcwd()\n"
        "gateway.remote_exec(\"import os; os.chdir('/')\").waitclose(10)\n"
        "assert gateway._rinfo() is info and info.cwd == os.getcwd()\n"
        "assert gateway._rinfo(update=True).cwd == '/' == gateway._rinfo().cwd\n"
        "assert os.getcwd() != '/'\n"
        "print(info)\n"
    )
    assert code == 0 and err == "", err
    assert out.startswith("<RInfo executable='")
    assert f"cwd={str(tmp_path)!r}" in out and re.search(r"pid=\d+>$", out.strip())
    assert "version_info=(3, " in out and f"platform={sys.platform!r}" in out
