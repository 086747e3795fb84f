"""Gateways through gateways."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from dispycos.errors import HostNotFound
from dispycos.launch.program import COMMAND
from dispycos.launch.quoting import for_shell
from dispycos.launch.via import Carried
from tests.helpers import alive, run_python, wait_until

ECHO = "for item in channel: channel.send(item)"


def pid(gateway) -> int:
    return gateway._rinfo().pid


@pytest.mark.row("EX-24")
def test_a_gateway_is_opened_through_another_at_any_depth(group):
    gateways = [group.makegateway("popen//id=a")]
    for name, carrier in (("b", "a"), ("c", "b"), ("d", "c")):
        gateways.append(group.makegateway(f"popen//id={name}//via={carrier}"))
    parents = [
        gateway.remote_exec("import os; channel.send(os.getppid())").receive(30) for gateway in gateways
    ]
    assert parents == [os.getpid(), *map(pid, gateways[:3])]
    channel = gateways[-1].remote_exec(ECHO)
    for item in ("x", {"a": [1, 2.5, None]}, os.urandom(100_000), os.urandom(9_000_000)):
        channel.send(item)
        assert channel.receive(30) == item


@pytest.mark.row("EX-24")
def test_both_directions_flow_at_once_through_a_carrier(group):
    """More than fits into pipes, windows and sockets, sent before anything is taken."""
    group.makegateway("popen//id=a")
    channel = group.makegateway("popen//via=a").remote_exec(
        "for _ in range(40): channel.send(bytes(300_000))\nfor item in channel: channel.send(len(item))"
    )
    for _ in range(12):
        channel.send(bytes(300_000))
    assert {len(channel.receive(30)) for _ in range(40)} == {300_000}
    assert [channel.receive(30) for _ in range(12)] == [300_000] * 12


@pytest.mark.row("EX-24")
def test_a_carrier_that_runs_one_thing_at_a_time_carries_beside_it(group):
    carrier = group.makegateway("popen//id=a//execmodel=main_thread_only")
    channel = carrier.remote_exec("channel.receive()")
    inner = group.makegateway("popen//via=a").remote_exec(ECHO)
    inner.send(1)
    assert inner.receive(30) == 1
    assert carrier.remote_status().numexecuting == 1
    channel.send(None)
    channel.waitclose(30)


@pytest.mark.row("EX-24")
def test_the_loss_of_a_carrier_ends_what_it_carries(group):
    carrier = group.makegateway("popen//id=a")
    middle = group.makegateway("popen//id=b//via=a")
    inner = group.makegateway("popen//via=b")
    pids = [pid(gateway) for gateway in (carrier, middle, inner)]
    channel = inner.remote_exec(ECHO)
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(EOFError):
        channel.receive(30)
    with pytest.raises(OSError):
        channel.send(1)
    wait_until(lambda: not any(map(alive, pids)), 20, what="all three to be gone")
    assert len(group) == 0


@pytest.mark.row("EX-24")
def test_a_carried_process_that_is_killed_is_lost_and_its_carrier_is_not(group):
    carrier = group.makegateway("popen//id=a")
    inner = group.makegateway("popen//via=a")
    channel = inner.remote_exec(ECHO)
    os.kill(pid(inner), signal.SIGKILL)
    with pytest.raises(EOFError):
        channel.receive(30)
    assert carrier.remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-24", "EX-05")
def test_a_program_that_is_killed_leaves_no_far_end():
    program = """
import os, signal
from dispycos.gateways import Group
specs = "popen//id=a", "popen//id=b//via=a", "popen//via=b", "socket//installvia=b"
group = Group([*specs, "socket//installvia=a//via=b"])
print(*[gateway._rinfo().pid for gateway in group], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    code, out, _ = run_python(program)
    assert code == -signal.SIGKILL
    pids = [int(word) for word in out.split()]
    assert len(pids) == 5
    wait_until(lambda: not any(map(alive, pids)), 20, what="all to be gone")


@pytest.mark.row("EX-24", "EX-23")
def test_terminate_ends_what_is_carried(group):
    group.makegateway("popen//id=a")
    group.makegateway("popen//id=b//via=a")
    group.makegateway("popen//id=c//via=b")
    pids = [pid(gateway) for gateway in group]
    group.terminate(10)
    wait_until(lambda: not any(map(alive, pids)), 10, what="all three to be gone")
    assert len(group) == 0


@pytest.mark.row("EX-24", "EX-23")
def test_a_carried_process_that_does_not_end_is_killed(group):
    """It is stopped, so it neither notices that nobody is there nor ends by itself."""
    group.makegateway("popen//id=a")
    inner = group.makegateway("popen//via=a")
    number = pid(inner)
    os.kill(number, signal.SIGSTOP)
    began = time.monotonic()
    inner.exit()
    assert not inner.join(0.2)
    inner.kill()
    assert inner.join(10)
    assert not alive(number)
    assert time.monotonic() - began < 10


@pytest.mark.row("EX-24", "EX-23")
def test_a_carried_process_is_killed_also_when_the_near_end_can_t_say_so(group):
    carrier = group.makegateway("popen//id=a")
    inner = group.makegateway("popen//via=a")
    numbers = [pid(carrier), pid(inner)]
    os.kill(numbers[1], signal.SIGSTOP)
    carrier.exit()
    wait_until(lambda: not any(map(alive, numbers)), 10, what="both to be gone")


@pytest.mark.row("EX-24", "EX-23")
def test_a_carrier_is_not_killed_before_what_it_carries(group):
    """What is stopped in the middle would be left for ever, and all that it carries."""
    group.makegateway("popen//id=a")
    group.makegateway("popen//id=b//via=a")
    group.makegateway("popen//id=c//via=b")
    numbers = [pid(gateway) for gateway in group]
    os.kill(numbers[1], signal.SIGSTOP)
    try:
        group.terminate(0.1)
        wait_until(lambda: not any(map(alive, numbers)), 5, what="all three to be gone")
    finally:
        for number in filter(alive, numbers):
            os.kill(number, signal.SIGKILL)


@pytest.mark.row("EX-24")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("popen//python=/no/such/python//via=a", "can't be started: No such file"),
        (f"popen//python={sys.executable} -c 1//via=a", "did not become a gateway"),
        ("popen//chdir=/dev/null/x//via=a", "could not take up .* Not a directory"),
        ("socket=127.0.0.1:1//via=a", "can't be started: Connection refused"),
    ],
)
def test_what_goes_wrong_at_a_carrier_is_told(group, spec, said):
    group.makegateway("popen//id=a")
    with pytest.raises(HostNotFound, match=said):
        group.makegateway(spec)
    assert len(group) == 1


@pytest.mark.row("EX-24", "SE-120")
@pytest.mark.parametrize("spec", ["popen//via=b", "popen//id=b//via=b", "popen//via=../a", "popen//via=0"])
def test_a_carrier_must_be_a_gateway_of_the_group(group, spec):
    group.makegateway("popen//id=a")
    with pytest.raises(ValueError, match="no gateway of that id"):
        group.makegateway(spec)


@pytest.mark.row("EX-24")
def test_what_a_carried_process_prints_first_is_passed_over(group):
    group.makegateway("popen//id=a")
    code = "import sys; print('welcome', flush=True); " + COMMAND.partition(";")[2]
    gateway = group.makegateway(f"popen//python={for_shell([sys.executable, '-c', code])}//via=a")
    assert gateway.remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-24", "SE-51")
def test_our_secret_s_place_is_told_to_no_far_end(group, monkeypatch):
    monkeypatch.setenv("DISPYCOS_SECRET_FILE", "/nowhere")
    names = "import os; channel.send(sorted(os.environ))"
    # The carrier's code sets one itself, so that what it carries would have it.
    carrier = group.makegateway("popen//id=carrier")
    assert "DISPYCOS_SECRET_FILE" not in carrier.remote_exec(names).receive(30)
    carrier.remote_exec("import os; os.environ['DISPYCOS_SECRET'] = 'x'").waitclose(30)
    assert "DISPYCOS_SECRET" not in group.makegateway("popen//via=carrier").remote_exec(names).receive(30)


@pytest.mark.row("EX-24")
def test_a_carrier_that_sends_no_bytes_ends_the_stream(group, monkeypatch):
    told = []

    class Odd:
        id = "odd"

        def __init__(self):
            self.gateway = group.makegateway("popen")

        def newchannel(self):
            return self.gateway.newchannel()

        def run_aside(self, module):
            return self.gateway.remote_exec(
                "channel.receive(); channel.send(b'first'); channel.send(7); channel.receive()"
            )

    monkeypatch.setattr(threading, "excepthook", told.append)
    carried = Carried(Odd(), ["unused"])
    deadline = time.monotonic() + 20
    assert carried.stream.read(5, deadline) == b"first"
    assert carried.stream.read(5, deadline) == b""
    carried.stream.close()
    assert not told
