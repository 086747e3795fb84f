"""Keys and specifications of connections."""

from __future__ import annotations

import argparse
import optparse

import pytest

from dispycos.easycluster import (
    ThreadedClient,
    add_key_options,
    decode_key,
    generate_key,
    key_from_options,
    parse_connection_spec,
    read_key_file,
    write_key_file,
)

KEY = bytes(range(32))


@pytest.fixture
def key_file(tmp_path):
    tmp_path.chmod(0o700)
    path = tmp_path / "secret.key"
    write_key_file(path, KEY)
    return path


@pytest.mark.row("EC-11")
def test_keys_are_made_written_and_read(key_file):
    assert len(generate_key()) == 32 and generate_key() != generate_key()
    assert read_key_file(key_file) == KEY == decode_key(KEY.hex() + "\n")
    assert key_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_key_file(key_file, KEY)
    other = generate_key()
    write_key_file(key_file, other, overwrite=True)
    assert read_key_file(str(key_file)) == other
    for bad in ("", "abc", "zz" * 32, "00" * 31):
        with pytest.raises(ValueError, match="64 hex digits") as caught:
            decode_key(bad)
        assert not bad or bad not in str(caught.value)
    with pytest.raises(ValueError, match="32"):
        write_key_file(key_file, b"short", overwrite=True)
    with pytest.raises(OSError):
        read_key_file(key_file.with_name("missing"))
    key_file.write_text("nonsense")
    with pytest.raises(ValueError, match="hex digits"):
        read_key_file(key_file)


def parsers():
    return optparse.OptionParser(), argparse.ArgumentParser()


@pytest.mark.row("EC-11")
def test_a_key_comes_from_options_of_either_parser(key_file):
    for arguments, expected in (([], None), (["-k", str(key_file)], KEY)):
        for parser in parsers():
            add_key_options(parser)
            parsed = parser.parse_args(arguments)
            assert key_from_options(parsed[0] if isinstance(parsed, tuple) else parsed) == expected
    parser = argparse.ArgumentParser()
    add_key_options(parser, "-A", "-B")
    with pytest.warns(UserWarning, match="other users"):
        assert key_from_options(parser.parse_args(["-A", KEY.hex()])) == KEY
    with pytest.raises(ValueError, match="not both"):
        key_from_options(parser.parse_args(["-A", KEY.hex(), "-B", str(key_file)]))


@pytest.mark.row("EC-12")
def test_a_specification_gives_the_keywords_of_a_client(key_file):
    def parse(spec):
        return parse_connection_spec(spec, default_key=b"default")

    assert parse("host") == {"key": b"default", "host": "host", "port": 11999}
    assert parse("host:11001") == {"key": b"default", "host": "host", "port": 11001}
    assert parse("[::1]:5")["host"] == "::1" and parse("[::1]:5")["port"] == 5
    assert parse("[::1]")["port"] == parse("::1")["port"] == 11999
    assert parse(f"host:kf={key_file}")["key"] == parse(f"host:5:keyfile={key_file}")["key"] == KEY
    assert parse(f"host:key={KEY.hex()}")["key"] == KEY
    assert parse("host:compress=yes")["compress"] is True
    assert parse("host:compress=0")["compress"] is False
    by_ssh = {"key": b"default", "host": "host", "ssh": True, "user": "jdoe"}
    assert parse("jdoe@host") == parse("host:ssh=1:user=jdoe") == by_ssh
    assert parse("jdoe@host:22:rpython=python3.12:extra=-i 'my key'") == {
        **by_ssh,
        "port": 22,
        "rpython": "python3.12",
        "extra_args": ("-i", "my key"),
    }


@pytest.mark.row("EC-12")
@pytest.mark.parametrize(
    "spec",
    [
        "",
        "host:",
        "host:99999",
        "host:0",
        "host:no=1",
        "host:compress",
        "host:compress=maybe",
        "host:compress=1:compress=1",
        "host:key=abc",
        "host:kf=/a:keyfile=/b",
        "host:rpython=python3",
        "host:ssh=no:user=jdoe",
        "a@host:user=b",
        "a@host:ssh=no",
        "-oProxyCommand=x",
        "[::1",
        "host name",
        "x" * 5000,
    ],
)
def test_a_bad_specification_is_refused(spec):
    with pytest.raises(ValueError):
        parse_connection_spec(spec)


@pytest.mark.row("EC-12")
def test_a_missing_key_file_is_an_oserror(tmp_path):
    with pytest.raises(OSError):
        parse_connection_spec(f"host:kf={tmp_path}/none")


@pytest.mark.row("EC-08", "EC-11")
@pytest.mark.parametrize(
    "given",
    [
        {"host": 5},
        {"port": "11999"},
        {"definitions": 5},
        {"compress": "yes"},
        {"ssh": True, "extra_args": "-v"},
        {"key": "00" * 32},
        {"server_timeout": None},
    ],
    ids=str,
)
def test_an_argument_of_another_type_is_named(given):
    with pytest.raises(TypeError, match=r"\b(\w+) must be .*, not ") as told:
        ThreadedClient(**{"key": None, "port": 1, **given})
    assert list(given)[-1] in str(told.value) and "00" not in str(told.value)
