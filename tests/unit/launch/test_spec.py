"""What a gateway's specification says, and what it must not."""

from __future__ import annotations

import shlex

import pytest

from dispycos.launch import container, popen, ssh
from dispycos.launch.program import COMMAND
from dispycos.launch.quoting import for_shell
from dispycos.launch.spec import XSpec


@pytest.mark.row("EX-15")
def test_the_document_s_specifications_are_read():
    spec = XSpec("ssh=wyvern//python=python2.4//chdir=mycache")
    assert (spec.ssh, spec.python, spec.chdir, spec.popen) == ("wyvern", "python2.4", "mycache", None)
    spec = XSpec("popen//python=2.5//nice=20")
    assert (spec.popen, spec.python, spec.nice, spec.kind) == (True, "2.5", "20", "popen")
    assert XSpec("socket=192.168.1.4:8888").socket == "192.168.1.4:8888"
    assert XSpec("popen//env:A=b//env:C=d=e").env == {"A": "b", "C": "d=e"}


@pytest.mark.row("EX-15")
def test_a_bare_version_is_the_python_of_that_version():
    assert popen.command(XSpec("popen//python=2.5")).words[0] == "python2.5"
    assert popen.command(XSpec("popen//python=3")).words[0] == "python3"
    assert popen.command(XSpec("popen//python=/opt/my python -X dev")).words[:2] == ["/opt/my", "python"]


@pytest.mark.row("EX-15", "SE-54", "SE-120")
@pytest.mark.parametrize(
    "text",
    [
        "popen//what=1",
        "popen//popen",
        "popen//nice=1//nice=2",
        "popen//env:A=1//env:A=2",
        "popen//env:A-B=1",
        "popen//env:=1",
        "popen//nice=low",
        "popen//nice",
        "popen//chdir",
        "popen//python=",
        "popen//python",
        "popen//id=",
        "popen//via",
        "ssh",
        "ssh=",
        "ssh=a\nb",
        "popen//chdir=a\x1b[2J",
        "popen//env:A=\0",
        "__class__=x",
        "_spec=x",
        "x" * 1048576,
    ],
)
def test_a_bad_specification_is_refused_in_a_few_words(text):
    with pytest.raises(ValueError) as caught:
        XSpec(text)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.row("EX-16")
@pytest.mark.parametrize("text", ["", "chdir=x", "popen//ssh=host", "docker=a//podman=b"])
def test_a_specification_names_one_kind_of_gateway(text):
    with pytest.raises(ValueError, match="must name one of popen, ssh, socket"):
        XSpec(text).kind


@pytest.mark.row("SE-53", "SE-120")
@pytest.mark.parametrize(
    "text",
    [
        "popen//python=-c",
        "popen//python='",
        "ssh=host//python=-x",
        "ssh=host//ssh_config=-oX",
        "ssh=host//python=''",
    ],
)
def test_no_value_becomes_an_option(text):
    spec = XSpec(text)
    with pytest.raises(ValueError):
        (ssh if spec.ssh else popen).command(spec)


@pytest.mark.row("SE-53", "EX-03")
def test_ssh_is_given_words_and_one_quoted_command():
    command = ssh.command(XSpec("ssh=-p 22 -C me@wyvern//python=py thon;x -X dev//ssh_config=conf"))
    words = command.words
    at = words.index("--")
    assert words[0] == "ssh"
    assert words[at + 1 : at + 2] == ["wyvern"]
    assert len(words) == at + 3
    assert shlex.split(words[-1]) == ["py", "thon;x", "-X", "dev", "-u", "-c", COMMAND]
    for pair in (["-p", "22"], ["-l", "me"], ["-F", "conf"]):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert "-oBatchMode=yes" in words
    assert command.address == "-p 22 -C me@wyvern"


NAMES = ["--privileged", "-it", "a b", "a;b", "$(x)", "a/b", "", ".x", "a" * 256, "a\tb"]


@pytest.mark.row("SE-121", "SE-53")
@pytest.mark.parametrize(
    "name", ["--privileged", "-it", "a b", "a;b", "$(x)", "a/b", "", ".x", "a" * 256, "a\tb"]
)
@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_container_s_name_is_no_option(engine, name):
    with pytest.raises(ValueError):
        container.command(XSpec(f"{engine}={name}"))


@pytest.mark.row("SE-53")
def test_a_container_is_named_behind_the_options():
    words = container.command(XSpec("docker=web_1//python=3.12")).words
    assert words == ["docker", "exec", "-i", "--", "web_1", "python3.12", "-u", "-c", COMMAND]


@pytest.mark.row("SE-53")
def test_a_shell_takes_a_command_apart_as_it_was():
    words = ["a b", "'", '"', "$(x)", "`x`", "\n", "\\", "", "*", "~", "-x", "ü"]
    assert shlex.split(for_shell(words)) == words
    # Not even this one needs more than plain single quotes, which every shell knows.
    assert for_shell([COMMAND]) == f"'{COMMAND}'"
