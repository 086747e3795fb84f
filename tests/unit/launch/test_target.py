"""Which machine a text means, and which texts mean none."""

from __future__ import annotations

import pytest

from dispycos.launch.target import Target


def whole(target: Target) -> tuple[str, str, int | None]:
    return target.user, target.host, target.port


@pytest.mark.row("SE-54")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wyvern", ("", "wyvern", None)),
        ("jdoe@wyvern.example.org:2222", ("jdoe", "wyvern.example.org", 2222)),
        ("10.0.0.7:22", ("", "10.0.0.7", 22)),
        ("jdoe@[fe80::1%eth0]:22", ("jdoe", "fe80::1%eth0", 22)),
        ("[::1]", ("", "::1", None)),
        ("::1", ("", "::1", None)),
        ("jdoe@2001:db8::7", ("jdoe", "2001:db8::7", None)),
        ("host_with-marks.1", ("", "host_with-marks.1", None)),
    ],
)
def test_a_machine_is_named(text, expected):
    assert whole(Target.parse(text)) == expected


def test_a_target_is_written_as_it_is_read():
    for text in ("wyvern", "a@b:22", "[::1]:8888", "jdoe@[2001:db8::7]:1"):
        assert str(Target.parse(text)) == text


HOSTILE = [
    "-oProxyCommand=touch x",
    "host;touch x",
    "$(touch x)",
    "`x`",
    "a b",
    "host\n",
    "\nhost",
    "user@-x",
    "-user@host",
    "us er@host",
    "user;x@host",
    "a@b@c",
    "host:0",
    "host:99999",
    "host:-1",
    "host:٣",
    "host:",
    "@host",
    "",
    "user@",
    "-x",
    "host/x",
    "[::1%;x]",
    "::1%;x",
    "[host]",
    "[::1",
    "host-",
    "h\u200bost",
    "h" * 254,
]


@pytest.mark.row("SE-120")
@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("parse", [Target.parse, Target.parse_ssh, Target.parse_connection])
def test_a_hostile_text_names_no_machine(parse, text):
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.row("SE-54", "SE-120")
@pytest.mark.parametrize("parse", [Target.parse, Target.parse_ssh, Target.parse_connection])
def test_a_long_text_is_neither_read_nor_repeated(parse):
    with pytest.raises(ValueError, match="1048576 characters") as caught:
        parse("h" * 1048576)
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError) as caught:
        parse(";" * 4096)
    assert ";" * 41 not in str(caught.value)


@pytest.mark.row("SE-53")
def test_some_options_of_ssh_may_stand_before_the_machine():
    target = Target.parse_ssh("-p 2222 -l jdoe -i ~/.ssh/other -F /etc/conf -J me@gate:22,[::1] -4 -C wyvern")
    assert whole(target) == ("jdoe", "wyvern", 2222)
    assert target.ssh_options == (
        *("-i", "~/.ssh/other", "-F", "/etc/conf"),
        *("-J", "me@gate:22,[::1]", "-4", "-C"),
    )


@pytest.mark.row("SE-53", "SE-120")
@pytest.mark.parametrize(
    "text",
    [
        "-o ProxyCommand=x host",
        "-oProxyCommand=x host",
        "-D 1080 host",
        "-A host",
        "-p",
        "-p 0 host",
        "-p -1 host",
        "-l -x host",
        "-i -x host",
        "-F -oProxyCommand=x host",
        "-J -x host",
        "-J gate,$(x) host",
        "-4 -- host",
        "-p 22 host:23",
        "-l me you@host",
        "host touch",
        "-4",
    ],
)
def test_other_options_of_ssh_are_refused(text):
    with pytest.raises(ValueError):
        Target.parse_ssh(text)


@pytest.mark.row("EC-12")
def test_a_connection_has_options_behind_colons():
    target = Target.parse_connection("jdoe@oddhost:11001:kf=/keys/a:b.key:ssh=1")
    assert whole(target) == ("jdoe", "oddhost", 11001)
    assert dict(target.options) == {"kf": "/keys/a:b.key", "ssh": "1"}
    assert dict(Target.parse_connection("[::1]:kf=x").options) == {"kf": "x"}
    assert dict(Target.parse_connection("host").options) == {}


@pytest.mark.row("EC-12", "SE-54")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host:kf=a:kf=b", "twice"),
        ("host:what=a", "unknown option 'what'"),
        ("host:kf", "is no"),
        ("host:22:", "is no"),
        ("host:22:kf", "is no"),
        ("host::kf=x", "is no"),
    ],
)
def test_a_malformed_option_of_a_connection_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        Target.parse_connection(text)
