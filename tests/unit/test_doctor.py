"""What the doctor makes of what it saw, where no network of a test can show it."""

from __future__ import annotations

import json
import socket
import struct
import time
from pathlib import Path

import pytest

from dispycos import keyfile
from dispycos.commands import dump
from dispycos.doctor import cli, dial, key, machine, network
from dispycos.doctor.dial import Dialled
from dispycos.doctor.finding import Level, as_text, good, wrong
from dispycos.doctor.plan import Plan
from dispycos.model import Incarnation, Role
from dispycos.net.auth import Handshake
from dispycos.net.datagram import DatagramKind, Record
from dispycos.net.interfaces import Interface
from tests.helpers import run_main

E0 = Interface("e0", "10.0.0.1", "10.0.0.255", 2)


def plan(**more: object) -> Plan:
    given: dict[str, object] = {
        "hosts": ("10.0.0.1",), "udp_port": 9705, "multicast": False, "keyring": keyfile.throwaway(),
        "certificates": None, "within": 1.0,
    }  # fmt: skip
    return Plan(**{**given, **more})  # type: ignore[arg-type]


def answer(clock: float) -> Record:
    return Record(
        DatagramKind.HERE,
        Role.NODE,
        Role(0),
        Incarnation(bytes(16)),
        9706,
        (),
        int(time.time() + clock),
        bytes(16),
    )


def test_a_firewall_that_drops_our_own_datagrams_is_told_with_its_interface() -> None:
    (found,) = network.to_ourselves(plan(), [E0], network.Heard())
    assert found.level is Level.WRONG
    assert "through e0 10.0.0.1 does not even arrive on this machine at UDP port 9705" in found.found
    assert "a firewall here drops it: allow UDP port 9705 in and out" in found.todo


@pytest.mark.parametrize(("clock", "said"), [(3600.0, "3600 s ahead"), (-90.0, "90 s behind"), (2.0, "")])
def test_a_clock_that_is_off_is_told_with_how_far(clock: float, said: str) -> None:
    heard = network.Heard(answers={"10.0.0.2": answer(clock)})
    of_clocks = [one for one in network.from_others(plan(), heard, set()) if one.area == "clock"]
    assert [one.level for one in of_clocks] == ([Level.WRONG] if said else [])
    # The record's time is cut to whole seconds.
    assert not said or (said.split()[-1] in of_clocks[0].found and "NTP" in of_clocks[0].todo)


def test_datagrams_of_another_key_are_a_fault_unless_they_are_our_own() -> None:
    heard = network.Heard(strangers={"10.0.0.2", "10.0.0.1"})
    levels = [one.found for one in network.from_others(plan(name="x"), heard, {"10.0.0.1"})]
    assert levels == ["10.0.0.2 sends datagrams of another key"]


def test_silence_at_one_port_is_no_fault_where_the_other_one_answers() -> None:
    silent = Dialled(wrong("tcp", "refuses", "start it"), silent=True)
    met, other = Dialled(good("tcp", "met")), Dialled(wrong("tcp", "another key", "compare"))
    assert [one.level for one in dial.findings(plan(), [silent, met])] == [Level.NOTE, Level.GOOD]
    assert [one.level for one in dial.findings(plan(), [silent, other])] == [Level.WRONG, Level.WRONG]
    assert dial.findings(plan(port=9706), [silent])[0].level is Level.WRONG


def test_a_machine_with_ipv6_only_can_be_met(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [Interface("lo", "127.0.0.1", "", 1), Interface("e0", "2001:db8::1", "", 2)]
    monkeypatch.setattr(network.net, "interfaces", lambda: every)
    used, found = network.interfaces(plan(hosts=("2001:db8::1",)))
    assert (used, found) == ([], [])
    for host in ("::1", "0.0.0.0"):
        _, (*_, alone) = network.interfaces(plan(hosts=(host,)))
        assert alone.level is Level.WRONG and f"at {host} only: nobody else can be met" in alone.found


def test_who_resets_the_connection_is_a_finding_and_not_the_end_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        class Late(Handshake):
            def opening(self) -> bytes:
                # Closed with nothing to linger for, it resets before the greeting is sent.
                connection, _ = server.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                return super().opening()

        monkeypatch.setattr(dial, "Handshake", Late)
        (found,) = dial.dial(plan(), [server.getsockname()])
    assert found.finding.level is Level.WRONG and "ends the connection at once" in found.finding.found


def test_a_name_that_leads_back_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "addresses_of", lambda host: ["127.0.1.1"])
    own, other = machine.names(plan(name="node7", addresses=("127.0.1.1",)))
    assert own.level is Level.NOTE and "stands for 127.0.1.1 in its hosts file" in own.found
    assert other.level is Level.WRONG and "'node7' stands for 127.0.1.1 here" in other.found
    *_, unknown = machine.names(plan(name="nowhere"))
    assert unknown.level is Level.WRONG and "can't be resolved" in unknown.found


@pytest.mark.row("SE-01", "SE-02")
def test_no_key_is_made_and_one_that_others_can_read_is_told_with_what_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyring, (found,) = key.look("", str(path))
    assert keyring is None and found.level is Level.WRONG and f"{path} does not exist" in found.found
    assert not path.exists()
    keyfile.create(path)
    path.chmod(0o644)
    keyring, (found,) = key.look("", str(path))
    assert keyring is None and f"run: chmod 600 {path}" in found.found


def test_the_exit_status_tells_whether_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-u", "0", "-i", "127.0.0.1", "--secret-file", str(tmp_path / "none")]
    assert cli.main(options) == 1
    assert "WRONG key" in capsys.readouterr().out
    assert "1 of 2 things are wrong" in as_text([good("a", "b"), wrong("c", "d", "e")])


def test_a_broken_file_of_settings_is_one_finding_and_the_rest_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text("udp_port = [")
    monkeypatch.setenv("DISPYCOS_CONFIG", str(path))
    found = cli.examine(["-u", "0", "-i", "127.0.0.1"])
    assert [one.found for one in found if one.level is Level.WRONG and str(path) in one.found] == [
        found[0].found
    ]
    assert found[0].area == "settings" and len(found) > 3
    code, out, err = run_main(dump.main, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert "is no TOML" in told["settings"] and told["doctor"][0]["area"] == "settings"
    assert told["versions"]["dispycos"]


def test_a_key_that_nothing_has_made_yet_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("DISPYCOS_SECRET_FILE", raising=False)
    keyring, (found,) = key.look("", None)
    assert keyring is None and found.level is Level.NOTE
    assert "the first program of this account makes it" in found.found and "copy the file" in found.todo
