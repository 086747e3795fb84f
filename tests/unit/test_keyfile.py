"""Key files: found, made by one of many, refused when others could have touched them."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dispycos import keyfile
from dispycos.net.keys import ClusterKey, InvalidKey, key_from_secret

LINE = bytes(range(32)).hex()
posix = pytest.mark.skipif(os.name != "posix", reason="posix: permissions")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("DISPYCOS_SECRET_FILE", raising=False)
    return tmp_path


def write(path: Path, text: str = LINE + "\n", mode: int = 0o600) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@posix
@pytest.mark.row("SE-01")
def test_the_key_is_made_on_first_use_and_found_again(home: Path) -> None:
    old = os.umask(0)
    try:
        ring = keyfile.load()
    finally:
        os.umask(old)
    path = home / "dispycos" / "key"
    assert keyfile.default_path() == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["key"]
    assert path.stat().st_nlink == 1
    assert keyfile.load().own == ring.own
    assert keyfile.fingerprints() == [ring.own.fingerprint]


@pytest.mark.row("SE-01")
def test_twenty_programs_that_start_at_once_use_one_key(home: Path) -> None:
    code = (
        "import sys; sys.stdin.read(1); from dispycos import keyfile; print(keyfile.load().own.fingerprint)"
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(20)
    ]
    seen = {program.communicate("x", timeout=50)[0].strip() for program in programs}
    assert [program.returncode for program in programs] == [0] * 20
    assert seen == {keyfile.load().own.fingerprint}
    assert os.listdir(home / "dispycos") == ["key"]


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keyfile.default_path() == tmp_path / ".config" / "dispycos" / "key"


@posix
@pytest.mark.row("SE-02", "SE-116")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602, 0o604, 0o610, 0o601])
def test_a_key_that_others_could_touch_is_refused_with_the_repair(home: Path, mode: int) -> None:
    path = write(home / "dispycos" / "key", mode=mode)
    with pytest.raises(InvalidKey, match=f"run: chmod 600 {path}") as caught:
        keyfile.load()
    assert LINE[:16] not in str(caught.value)


@posix
@pytest.mark.row("SE-02", "SE-116")
def test_a_link_a_pipe_and_a_folder_are_refused(home: Path) -> None:
    path = home / "dispycos" / "key"
    write(home / "elsewhere")
    path.parent.mkdir(mode=0o700)
    path.symlink_to(home / "elsewhere")
    with pytest.raises(InvalidKey, match="is a link"):
        keyfile.load()
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(InvalidKey, match="no regular file"):
        keyfile.load()
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(InvalidKey, match="no regular file; remove it, and a new key is made"):
        keyfile.load()
    with pytest.raises(InvalidKey, match="no regular file; name the key file itself"):
        keyfile.load(secret_file=path)


def test_who_has_no_key_file_is_told_what_makes_it(home: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`dispycos key new .*/none` makes it"):
        keyfile.load(secret_file=home / "none")
    with pytest.raises(FileNotFoundError, match="the first program of this account makes it"):
        keyfile.fingerprints()


@posix
@pytest.mark.row("SE-02", "SE-116")
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused(home: Path, mode: int) -> None:
    path = write(home / "dispycos" / "key")
    path.parent.chmod(mode)
    with pytest.raises(InvalidKey, match=f"run: chmod 700 {path.parent}"):
        keyfile.load()
    path.unlink()
    with pytest.raises(InvalidKey, match="written by others"):
        keyfile.load()


@posix
@pytest.mark.row("SE-02", "SE-116")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root: to give a file away")
def test_a_key_of_another_account_is_refused(home: Path) -> None:
    path = write(home / "dispycos" / "key")
    os.chown(path, 12345, 12345)
    with pytest.raises(InvalidKey, match="belongs to uid 12345; run: chown"):
        keyfile.load()
    os.chown(path, 0, 0)
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(InvalidKey, match="belongs to uid 12345"):
        keyfile.load()


@pytest.mark.row("SE-03", "SE-116")
@pytest.mark.parametrize("text", ["", LINE[:62], LINE + "\nsecret\n", "# nothing\n", "\0" * 200, LINE * 1000])
def test_a_file_with_anything_else_is_refused_and_not_echoed(home: Path, text: str) -> None:
    path = write(home / "dispycos" / "key", text)
    with pytest.raises(InvalidKey) as caught:
        keyfile.load()
    assert str(path) in str(caught.value)
    assert LINE[:16] not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert path.read_text() == text


@pytest.mark.row("SE-116")
def test_a_file_of_a_gigabyte_is_not_read(home: Path) -> None:
    path = write(home / "dispycos" / "key")
    with open(path, "r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(InvalidKey, match="longer than"):
        keyfile.load()


@posix
@pytest.mark.row("SE-02")
def test_a_named_file_may_be_a_link_and_readable_by_its_group(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home / "named", mode=0o640)
    (home / "link").symlink_to(path)
    expected = ClusterKey(bytes.fromhex(LINE))
    assert keyfile.load(secret_file=home / "link").own == expected
    monkeypatch.setenv("DISPYCOS_SECRET_FILE", str(path))
    assert keyfile.load().own == expected
    assert keyfile.fingerprints() == [expected.fingerprint]
    for mode in (0o660, 0o602, 0o662):
        path.chmod(mode)
        with pytest.raises(InvalidKey, match="chmod 600"):
            keyfile.load()
    assert not (home / "dispycos").exists()


@posix
@pytest.mark.row("SE-02")
@pytest.mark.parametrize("memory", [True, False])
def test_a_named_file_is_readable_by_all_only_on_a_tmpfs(
    home: Path, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    path = write(home / "named", mode=0o444)
    monkeypatch.setattr(keyfile, "_on_tmpfs", lambda device: memory)
    if memory:
        assert keyfile.load(secret_file=path).own == ClusterKey(bytes.fromhex(LINE))
    else:
        with pytest.raises(InvalidKey, match="chmod 600"):
            keyfile.load(secret_file=path)


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="linux: mountinfo")
def test_a_tmpfs_is_told_from_a_disk() -> None:
    kinds = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kinds[fields.split()[4]] = rest.split()[0]
    if kinds.get("/dev/shm") != "tmpfs":
        pytest.skip("tmpfs: none at /dev/shm")
    assert keyfile._on_tmpfs(os.stat("/dev/shm").st_dev)
    assert not keyfile._on_tmpfs(os.stat("/proc").st_dev)


def test_a_named_file_that_is_missing_is_not_made(home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keyfile.load(secret_file=home / "missing")
    assert os.listdir(home) == []


@pytest.mark.row("SE-04")
def test_a_secret_makes_the_same_key_everywhere(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "sixteen letters!"
    with caplog.at_level(logging.WARNING):
        assert keyfile.load(secret).own == key_from_secret(secret)
    assert caplog.text == ""
    assert os.listdir(home) == []


@pytest.mark.row("SE-04")
def test_a_short_secret_is_warned_of_or_refused(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidKey, match="fewer than 8") as caught:
        keyfile.load("1234567")
    assert "1234567" not in str(caught.value)
    assert keyfile.load("1234567", loopback_only=True).own == key_from_secret("1234567")
    assert caplog.text == ""
    keyfile.load("12345678")
    assert "can be guessed from a recorded handshake" in caplog.text
    assert "12345678" not in caplog.text


@pytest.mark.row("SE-07")
def test_without_a_secret_the_accounts_key_is_used_and_none_is_built_in(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keyfile.load("").own == keyfile.load().own
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "another account"))
    assert keyfile.load().own.fingerprint not in keyfile.fingerprints(home / "dispycos" / "key")


def test_a_secret_and_a_file_are_too_much(home: Path) -> None:
    with pytest.raises(InvalidKey, match="not both"):
        keyfile.load("a long enough secret", home / "file")


def test_a_throwaway_key_is_new_each_time_and_leaves_no_file(home: Path) -> None:
    assert keyfile.throwaway().own != keyfile.throwaway().own
    assert os.listdir(home) == []


def test_a_key_file_is_overwritten_only_on_demand(home: Path) -> None:
    path = home / "new.key"
    keyfile.create(path)
    first = keyfile.fingerprints(path)
    with pytest.raises(FileExistsError, match="not overwritten"):
        keyfile.create(path)
    assert keyfile.fingerprints(path) == first
    keyfile.create(path, replace=True)
    assert keyfile.fingerprints(path) != first
    assert os.listdir(home) == ["new.key"]


def test_no_folder_is_made_but_that_of_the_account(home: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder; `mkdir -m 700 .*/none` makes it"):
        keyfile.create(home / "none" / "new.key")
    assert os.listdir(home) == []
    keyfile.create(keyfile.default_path())
    assert keyfile.load().own.fingerprint in keyfile.fingerprints()
