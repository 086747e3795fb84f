"""Places as people write them."""

from __future__ import annotations

import copy
import pickle

import pytest

from dispycos.model import Location, MonitorStatus, host_and_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("n1", "n1", None),
        ("n1.example.org:9706", "n1.example.org", 9706),
        ("10.0.0.7:1", "10.0.0.7", 1),
        ("::1", "::1", None),
        ("[::1]", "::1", None),
        ("[::1]:65535", "::1", 65535),
        # Only brackets would say where the port begins.
        ("fe80::1:9706", "fe80::1:9706", None),
    ],
)
def test_a_place_is_a_host_or_a_host_and_a_port(text: str, host: str, port: int | None) -> None:
    assert host_and_port(text) == (host, port)


@pytest.mark.parametrize(
    "text", ["", ":9706", "a:b:c", "n1:", "n1:0", "n1:65536", "n1:http", "[::1", "[]:1", "[::1]9"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a host nor HOST:PORT"):
        host_and_port(text)


def test_a_location_is_parsed_from_what_a_program_has() -> None:
    here = Location("127.0.0.1", 7)
    assert Location.parse(here, 9706) is here
    assert Location.parse("127.0.0.1", 9706) == Location("127.0.0.1", 9706)
    assert Location.parse("[::1]:8", 9706) == Location("::1", 8)
    assert Location.parse(str(Location("::1", 8)), 9706) == Location("::1", 8)


def test_a_location_with_several_addresses_is_known_by_the_first() -> None:
    several = Location("10.0.0.1", 7, ["10.1.0.1", "::1", "10.0.0.1"])
    assert several.addresses == ("10.0.0.1", "10.1.0.1", "::1")
    assert several == Location("10.0.0.1", 7) and hash(several) == hash(Location("10.0.0.1", 7))
    assert str(several) == "10.0.0.1:7"
    assert several.includes(Location("::1", 7))
    assert not several.includes(Location("::1", 8)) and not several.includes(Location("10.2.0.1", 7))
    assert pickle.loads(pickle.dumps(several)).addresses == several.addresses
    assert copy.copy(several).addresses == several.addresses


def test_more_addresses_than_are_told_are_refused() -> None:
    with pytest.raises(ValueError, match="5 addresses of one process: 4 can be told"):
        Location("10.0.0.1", 7, [f"10.0.0.{number}" for number in range(2, 6)])


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("trace\nValueError: 3", "main/1: ValueError: 3"),
        ("trace\npackage.errors.ValueError: 3", "main/1: ValueError: 3"),
        ("trace\nValueError", "main/1: ValueError"),
        ("it was refused: 3", "main/1: ValueError: it was refused: 3"),
    ],
)
def test_a_status_as_a_line_has_its_exception_once(value: str, line: str) -> None:
    assert str(MonitorStatus("main/1", ValueError, value)) == line


@pytest.mark.row("CO-08")
def test_who_takes_a_status_for_the_result_reads_how_the_task_ended() -> None:
    failed = MonitorStatus("main/1", ValueError, "trace\nValueError: 3")
    told = "a MonitorStatus has no 'shape', only info, type and value: it says how a task ended"
    with pytest.raises(AttributeError, match=f"^{told}: main/1: ValueError: 3$"):
        failed.shape
    with pytest.raises(AttributeError, match=f"^{told}$"):
        MonitorStatus("main/1", StopIteration, 7).shape
    # What copies and pickles make is asked before it has anything.
    assert copy.deepcopy(failed) == pickle.loads(pickle.dumps(failed)) == failed
    assert not hasattr(MonitorStatus.__new__(MonitorStatus), "value")
