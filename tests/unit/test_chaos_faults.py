"""What DISPYCOS_CHAOS may say."""

from __future__ import annotations

import contextlib
import errno
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispycos.chaos import present
from dispycos.chaos.faults import KINDS, NOTICED, REPEATED, BadChaos, Faults, When, is_a, parse
from dispycos.config import Limits
from dispycos.configuration.names import OTHERS
from dispycos.errors import FileRefused
from dispycos.model import Incarnation, Role
from dispycos.net.filestore import FileStore
from dispycos.scheduler.journal import Journal, JournalError


@pytest.mark.row("R-63")
def test_each_fault_is_understood() -> None:
    faults = parse(
        "seed=7,drop:pulse=0.2,delay:result=50ms,dup:announce=.1,cut:session@2s,kill:server@poisson=30s,"
        "kill:node@every=5m,clock:+3600s@5s,clock:-1h@6s,fail:write(journal)=ENOSPC,fail:write(file)=EIO@3s"
    )
    assert faults == Faults(
        seed=7,
        drop={"pulse": 0.2},
        dup={"announce": 0.1},
        delay={"result": 0.05},
        cuts=(When(2.0),),
        kills=(("server", When(30.0, True, True)), ("node", When(300.0, True))),
        clock=((3600.0, When(5.0)), (-3600.0, When(6.0))),
        writes=(("journal", errno.ENOSPC, 0.0), ("file", errno.EIO, 3.0)),
    )
    assert faults.of_messages
    assert not parse("drop:announce=0.5,cut:session@1s").of_messages


@pytest.mark.row("R-63", "SE-122")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("explode", "it is none of seed="),
        ("seed=7,", "''"),
        ("seed=-1", "none of"),
        ("drop:pulse=2", "no probability"),
        ("drop:pulse=nan", "no probability"),
        ("drop:submit=0.1", "drop knows no 'submit'"),  # a session brings each exactly once
        ("dup:submit=0.1", "dup knows no 'submit'"),
        ("delay:gossip=1s", "delay knows no 'gossip'"),
        ("delay:result=50", "no time"),
        ("delay:result=999999h", "no time"),
        ("kill:init@1s", "no process to kill"),
        ("kill:server@often=1s", "no way to strike"),
        ("cut:session@every=0s", "a millisecond"),
        ("clock:3600s@5s", "none of"),
        ("fail:write(journal)=ENOTHING", "no error of this system"),
        ("fail:write(/etc/passwd)=EIO", "none of"),
        ("fail:write(memory)=EIO", "nothing whose writing can fail"),
        ("seed=__import__('os').system('true')", "none of"),
        ("kill:server@" + "9" * 100_000 + "s", "no time"),
    ],
)
def test_what_is_not_known_is_refused_with_the_part_and_the_way_out(text: str, why: str) -> None:
    with pytest.raises(BadChaos) as caught:
        parse(text)
    sentence = str(caught.value)
    assert sentence.startswith("DISPYCOS_CHAOS has ")
    assert why in sentence
    assert sentence.endswith("unset the variable")
    assert len(sentence) < 500


@pytest.mark.row("SE-122")
@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(BadChaos):
        assert isinstance(parse(text), Faults)


@pytest.mark.row("R-63")
def test_only_what_is_said_again_is_ever_lost() -> None:
    assert REPEATED < NOTICED < KINDS.keys()


@pytest.mark.row("R-63")
def test_a_private_scheduler_is_its_clients() -> None:
    assert is_a("scheduler", Role.SCHEDULER)
    assert not is_a("scheduler", Role.SCHEDULER | Role.CLIENT)
    assert is_a("client", Role.SCHEDULER | Role.CLIENT)
    assert is_a("server", Role.SERVER | Role.PEER) and not is_a("node", Role.SERVER)


@pytest.mark.row("R-63", "SE-122")
def test_it_comes_from_the_environment_and_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "DISPYCOS_CHAOS" in OTHERS, "no setting, so no file has it"
    monkeypatch.delenv("DISPYCOS_CHAOS", raising=False)
    assert present.present() is None
    monkeypatch.setenv("DISPYCOS_CHAOS", "")
    assert present.present() is None
    monkeypatch.setenv("DISPYCOS_CHAOS", "seed=3,fail:write(journal)=ENOSPC,fail:write(file)=EIO@1h")
    assert present.present() == parse("seed=3,fail:write(journal)=ENOSPC,fail:write(file)=EIO@1h")
    with pytest.raises(OSError) as caught:
        present.before_write("journal")()
    assert caught.value.errno == errno.ENOSPC
    present.before_write("file")()  # not yet
    monkeypatch.setenv("DISPYCOS_CHAOS", "exlode")
    with pytest.raises(BadChaos):
        present.before_write("journal")


@pytest.mark.row("R-63")
def test_one_seed_decides_alike_for_one_process_and_otherwise_for_another() -> None:
    def draws(chance: random.Random) -> list[float]:
        return [chance.random() for _ in range(5)]

    seven = parse("seed=7")
    assert draws(present.chance(seven, "n1")) == draws(present.chance(seven, "n1"))
    assert draws(present.chance(seven, "n1")) != draws(present.chance(seven, "n2"))
    assert draws(present.chance(seven, "n1")) != draws(present.chance(parse("seed=8"), "n1"))


@pytest.mark.row("R-63", "R-22")
def test_a_disk_is_full_where_it_is_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISPYCOS_CHAOS", "fail:write(journal)=ENOSPC,fail:write(file)=ENOSPC")
    with pytest.raises(JournalError, match="No space left on device"):
        Journal(str(tmp_path / "journal.db"), Incarnation(bytes(16)))
    store = FileStore(tmp_path, Limits())
    incoming = store.begin("f", 1, 0o600, 0.0, bytes(32), False)
    assert incoming is not None
    with pytest.raises(FileRefused, match="full"):
        incoming.write(0, b"x")
    incoming.give_up()
    store.close()
    assert not (tmp_path / "f").exists()
