"""The cluster's key is replaced by another one while tasks run (SE-08)."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

import pytest

from dispycos.net.keys import ClusterKey
from tests.helpers import Program, wait_until
from tests.process.schedulers import Place, close, result, run, schedule


def write(path: Path, *keys: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text("".join(f"{key}\n" for key in keys))
    draft.chmod(0o600)
    draft.replace(path)


def took_up(programs: list[Program], *keys: str) -> None:
    """Tell them, and wait until they have."""
    line = " ".join(ClusterKey(bytes.fromhex(key)).fingerprint for key in keys)
    for program in programs:
        program.signal(signal.SIGHUP)
    for program in programs:
        program.wait_line(f"<Keyring {line}>", 20)


@pytest.mark.row("SE-08")
def test_tasks_run_on_while_the_key_is_replaced_and_the_old_one_opens_nothing(place: Place) -> None:
    old, new = place.key.read_text().split()[-1], secrets.token_hex(32)
    shared = place.scheduler("--daemon")
    node = place.node("--daemon", "--peer", shared.where)
    client = place.client(network="discover_peers=False")
    schedule(client, shared)
    run(client, 1, seconds=15.0)
    client.wait_line("began 1", 20)
    client.write("ticks")
    client.wait_line("tick", 20)
    daemons = [shared.program, node]
    for keys in ((old, new), (new, old), (new,)):
        write(place.key, *keys)
        took_up(daemons, *keys)
        # A program looks at its file by itself.
        client.wait_line(f"<Keyring {ClusterKey(bytes.fromhex(keys[0])).fingerprint}", 30)
    # What ran before goes on, over connections that proved the new key.
    seen = len(client.lines)
    wait_until(lambda: sum(line.startswith("tick") for line in client.lines[seen:]) > 20, 30)
    result(client, 1, 40)
    run(client, 2)
    result(client, 2)
    # Who comes with the old key is refused.
    late = place.path / "late"
    write(late, old)
    stranger = place.client("c2", secret_file=late)
    stranger.write(f"schedule '{shared.where}'")
    assert "authentication failed" in stranger.wait_line("authentication", 20)
    close(client)


@pytest.mark.row("SE-08", "SE-03")
def test_a_file_that_is_no_good_changes_nothing(place: Place) -> None:
    node = place.node("--daemon")
    place.key.write_text("not a key\n")
    node.signal(signal.SIGHUP)
    said = node.wait_line("the keys are as they were", 20)
    assert "line 1" in said and "not a key" not in said
    assert node.process.poll() is None
