"""Settings: files, variables, which of them wins, and what is said of a wrong one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispycos import config, keyfile
from dispycos.commands import settings_shown
from dispycos.configuration import file, settings
from dispycos.configuration.names import CLIENT, BadConfiguration
from dispycos.node.cli import make_parser
from dispycos.options import Options

KNOWN = {"node": make_parser().settings(), "client": CLIENT}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one file that is read here."""
    monkeypatch.setenv("DISPYCOS_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("")
    return tmp_path / "config.toml"


def test_a_section_wins_over_what_is_shared_a_variable_over_the_file_and_a_command_line_over_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text('udp_port = 1\nmsg_timeout = 7\n[node]\nudp_port = 2\ncpus = 3\npeer = ["a:1", "b:2"]\n')
    parser = make_parser()

    def taken(*arguments: str) -> tuple[int, int, list[tuple[str, int]]]:
        options = parser.parse_args(parser.configured("node", arguments))
        return options.udp_port, options.cpus, options.peer

    assert taken() == (2, 3, [("a", 1), ("b", 2)])
    monkeypatch.setenv("DISPYCOS_UDP_PORT", "4")
    assert taken() == (4, 3, [("a", 1), ("b", 2)])
    monkeypatch.setenv("DISPYCOS_NODE_UDP_PORT", "5")
    monkeypatch.setenv("DISPYCOS_NODE_PEER", "c:3, d:4")
    assert taken() == (5, 3, [("c", 3), ("d", 4)])
    assert taken("-u6", "-dc", "1", "--peer=e:5") == (6, 1, [("e", 5)])
    assert settings.of_client()["udp_port"].origin == "DISPYCOS_UDP_PORT"
    assert settings.of_client()["msg_timeout"].origin == f"{path}, line 2"


def test_no_time_at_all_for_a_question_is_refused_wherever_it_is_set(path: Path) -> None:
    path.write_text("msg_timeout = 0\n")
    for known in KNOWN.items():
        with pytest.raises(BadConfiguration, match="no time at all"):
            settings.settings(*known)


def test_the_file_of_the_account_wins_over_that_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, account = tmp_path / "machine.toml", tmp_path / "dispycos" / "config.toml"
    account.parent.mkdir()
    machine.write_text('[client]\nname = "far"\nscheduler = "head"\n')
    account.write_text('[client]\nname = "near"\n')
    monkeypatch.setattr(settings, "SYSTEM", str(machine))
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    found = settings.settings("client", CLIENT, environ)
    assert (found["name"].value, found["scheduler"].value) == ("near", "head")
    assert (found["name"].origin, found["scheduler"].origin) == (f"{account}, line 2", f"{machine}, line 3")


def test_a_switch_of_a_file_is_turned_off_by_its_variable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("[node]\ndaemon = true\n")
    parser = make_parser()
    assert parser.parse_args(parser.configured("node", [])).daemon
    monkeypatch.setenv("DISPYCOS_NODE_DAEMON", "no")
    assert not parser.parse_args(parser.configured("node", [])).daemon


def test_certificates_of_the_command_line_are_not_mixed_with_those_of_a_file(path: Path) -> None:
    path.write_text('certfile = "a"\nkeyfile = "b"\ncafile = "c"\n')
    assert make_parser().configured("node", ["--certfile=x"]) == ["--certfile=x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cpus = 1", "line 1: cpus is not shared by all: it belongs below [node]"),
        ("\n[node]\ncpu = 1", "line 3: node.cpu is not known here; did you mean 'cpus'?"),
        ("[nodes]", "line 1: table 'nodes' is not known here; did you mean 'node'?"),
        ('[node]\npeer = ["a"]', "line 2: peer = 'a': 'a' is no HOST:PORT"),
        ("[node]\ncpus = true", "line 2: cpus takes a text or a number, not True"),
        ("[node]\ndaemon = 1", "line 2: daemon takes true or false, not 1"),
        ("[node]\nservice_start = 08:00:00", "line 2: service_start takes a text or a number"),
        ("[client]\ntcp_port = 70000", "line 2: tcp_port = '70000': it must be at most 65535"),
        ('[client]\npulse_interval = "x"', "line 2: pulse_interval = 'x': no number of seconds"),
        ("secret = 'abc'", "line 1: a secret does not belong here: make a key file"),
        ("[node]\nsecret_file = 'abc'", "line 2: a key is set for all of an account"),
        ("a = ", "is no TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("[node]\ncpus = " + "1" * 5000, "is no TOML: Exceeds the limit"),
        ("[node]\ncpus = 0x" + "f" * 5000, "line 2: cpus: Exceeds the limit"),
        ('[client]\nname = "a\\nb\\u001b[31m"', "no name that could be read in a line"),
        ("udp_port = 1\nudp-port = 2", "line 2: udp-port is given twice, as udp_port too"),
        ("\n[[client]]\nname = 'a'", "line 2: client is a table: put its settings below a line [client]"),
        ("client = 3", "line 1: client is a table"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(BadConfiguration) as failure:
        file.read(str(path), KNOWN)
    assert said in str(failure.value) and str(path) in str(failure.value)


def test_a_node_is_not_stopped_by_what_is_wrong_for_programs_only(path: Path) -> None:
    path.write_text("[client]\nnonsense = 1\n[node]\ncpus = 2\n")
    assert make_parser().configured("node", []) == ["--cpus=2"]


@pytest.mark.row("SE-50")
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such modes")
def test_a_file_that_others_can_write_is_refused_with_what_mends_it(path: Path) -> None:
    path.chmod(0o666)
    with pytest.raises(BadConfiguration, match=r"others can write .*; run: chmod go-w"):
        settings.of_client()


def test_a_file_that_is_named_must_exist(path: Path) -> None:
    path.unlink()
    with pytest.raises(BadConfiguration, match=r"DISPYCOS_CONFIG names .*, which does not exist"):
        settings.of_client()


def test_a_variable_of_a_wrong_value_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPYCOS_CLIENT_DISCOVER_PEERS", "perhaps")
    with pytest.raises(BadConfiguration, match="DISPYCOS_CLIENT_DISCOVER_PEERS is 'perhaps': it takes true"):
        settings.of_client()


def test_a_misspelt_variable_is_told_and_what_a_cluster_manager_sets_is_not() -> None:
    environ = {
        "DISPYCOS_NODE_CPU": "1",
        "DISPYCOS_UPD_PORT": "9800",
        "DISPYCOS_NODE_PORT": "tcp://10.0.0.1:9706",
        "DISPYCOS_NODE_SERVICE_HOST": "10.0.0.1",
        "DISPYCOS_NODE_SERVICE_PORT_TCP": "9706",
        "DISPYCOS_NODE_PORT_9706_TCP_PORT": "9706",
        "DISPYCOS_SECRET_FILE": "key",
        "DISPYCOS_OF_SOMEBODY_ELSE": "1",
    }
    known = settings_shown.known()
    near = [told.rpartition(" ")[2] for told in settings.strangers(known, environ)]
    assert near == ["DISPYCOS_NODE_CPUS?", "config`", "DISPYCOS_UDP_PORT?"]
    # Who reads one section tells what is nearly one of its settings, and nothing of others.
    (told,) = settings.strangers({"client": known["client"]}, environ)
    assert told == "DISPYCOS_UPD_PORT is no setting, and is not looked at; did you mean DISPYCOS_UDP_PORT?"
    assert len(settings.strangers({"node": known["node"]}, environ)) == 2


def test_a_program_logs_a_misspelt_variable(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DISPYCOS_UPD_PORT", "9800")
    Options.of()
    assert "did you mean DISPYCOS_UDP_PORT?" in caplog.text


def test_programs_take_what_is_set_where_they_say_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(
        "udp_port = 9800\nmsg_timeout = 3\n[client]\nname = 'set'\nhost = ['127.0.0.1']\nmax_file_size = 9\n"
    )
    found = Options.of()
    assert (found.udp_port, found.name, found.hosts) == (9800, "set", ("127.0.0.1",))
    assert (found.max_file_size, found.limits.request_timeout) == (9, 3.0)
    said = Options.of(name="said", udp_port=1, host="127.0.0.2")
    assert (said.udp_port, said.name, said.hosts) == (1, "said", ("127.0.0.2",))
    with pytest.raises(TypeError, match="udp_port"):
        Options.of(udp_port="1")  # type: ignore[arg-type]  # what a program says is not read as a file is
    monkeypatch.setattr(config, "NetPort", 9801)
    assert Options.of().udp_port == 9801
    path.write_text("[client]\ndiscover_peers = false\n")
    assert Options.of().udp_port is None
    assert Options.of(discover_peers=True).udp_port == 9801


@pytest.mark.row("SE-01")
def test_the_key_file_that_is_set_is_used_by_everybody(path: Path, tmp_path: Path) -> None:
    keyfile.create(tmp_path / "key")
    path.write_text(f'secret_file = "{tmp_path / "key"}"\n')
    assert keyfile.load().own.fingerprint == keyfile.fingerprints(tmp_path / "key")[0]
