"""What runs in containers, seen without an engine: each command is one of ours, the health check works."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispycos.commands.programs import COMMANDS
from dispycos.node import cli as node_cli
from dispycos.scheduler import cli as scheduler_cli
from tests.helpers import ROOT
from tests.netns.hosts import Network
from tests.netns.test_cluster import node
from tests.netns.test_shared import scheduler

Make = Callable[[int], Network]
PARSERS = {"dispycos": scheduler_cli.make_parser, "dispycosnode": node_cli.make_parser}


def compose() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert isinstance(found, dict)
    return found


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def taken(command: list[str]) -> bool:
    """Whether it is a command line of ours that the parser takes."""
    if command[0] == "dispycos" and command[1:] and command[1] in COMMANDS:
        return True
    try:
        PARSERS[command[0]]().parse_args(command[1:])
    except SystemExit as end:
        return end.code == 0  # --help
    return True


# In a code span, or behind the image's name at the end of a `docker run`.
_SHOWN = re.compile(
    r"(?:`|(?:^    |^# .* )dispycos )((?:dispycosnode|dispycos)(?: [^`\n;|]*)?)(?=$|[`;|])", re.MULTILINE
)


def shown(page: str) -> Iterator[list[str]]:
    """Each command line of ours that a page shows."""
    for found in _SHOWN.finditer((ROOT / page).read_text()):
        yield shlex.split(found[1])


@pytest.mark.row("DN-42", "DS-02")
def test_every_command_of_the_containers_is_one_of_ours() -> None:
    commands = [service["command"] for service in compose()["services"].values()]
    commands.append(json.loads(re.findall(r"^CMD (.*)$", dockerfile(), re.MULTILINE)[-1]))
    assert [command[0] for command in commands] == ["dispycos", "dispycosnode", "dispycosnode"]
    assert all(map(taken, commands))
    assert not taken(["dispycosnode", "--served", "1"])


@pytest.mark.row("DN-42", "DS-02")
@pytest.mark.parametrize(("page", "count"), [("README.md", 5), ("Dockerfile", 2)])
def test_every_command_that_a_page_shows_is_one_of_ours(page: str, count: int) -> None:
    found = list(shown(page))
    assert len(found) >= count
    assert not [command for command in found if not taken(command)]


@pytest.mark.row("SE-10", "DN-42")
def test_containers_share_a_key_that_is_in_no_command_variable_or_image() -> None:
    page = compose()
    for service in page["services"].values():
        assert service["secrets"] == ["dispycos_key"]
        assert "environment" not in service and "env_file" not in service
        assert not [word for word in service["command"] if "secret" in word]
        # Code of clients has no way out of its container, nor into the next one's.
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert page["services"]["node"]["deploy"]["replicas"] == 2
    assert "DISPYCOS_SECRET_FILE=/run/secrets/dispycos_key" in dockerfile()
    file = Path(page["secrets"]["dispycos_key"]["file"]).name
    assert file in (ROOT / ".dockerignore").read_text().split()
    assert file in (ROOT / ".gitignore").read_text().split()


@pytest.mark.row("DN-42", "DS-21")
def test_the_folder_of_the_journal_is_a_volume_that_the_scheduler_may_write_to() -> None:
    service = compose()["services"]["scheduler"]
    folder = service["command"][service["command"].index("--dest_path") + 1]
    volume, where = service["volumes"][0].split(":")
    assert where == folder and volume in compose()["volumes"]
    # A new volume takes over owner and mode of the folder that the image has there.
    assert f"--owner=dispycos {folder}" in dockerfile()
    assert "ports" in service and service["ports"] == ["9705:9705"]


def health_checks() -> dict[str, list[str]]:
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    assert found
    test = compose()["services"]["scheduler"]["healthcheck"]["test"]
    assert test[0] == "CMD"
    return {"node": json.loads(found[1]), "scheduler": test[1:]}


@pytest.mark.netns
@pytest.mark.row("DN-42")
@pytest.mark.parametrize("what", ["node", "scheduler"])
def test_the_health_check_tells_who_listens_from_who_does_not(
    network: Make, key: Path, tmp_path: Path, what: str
) -> None:
    (a,) = network(1).hosts
    program, *arguments = health_checks()[what]
    assert program == "python"
    check = [sys.executable, *arguments]
    code, _, err = a.run(check)
    assert code == 1 and "refused" in err
    start = node if what == "node" else scheduler
    with start(a, key, tmp_path) as running:
        running.wait_line("ready at", 20)
        assert a.run(check)[:2] == (0, "")
        assert "WARNING" not in running.output
