"""Users who log in by name and password."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dispycos import rpc
from dispycos.errors import AuthenticationError
from dispycos.rpc import vdb
from tests.certificates import Authority
from tests.io.rpc.servers import KEY, serving

PASSWORD = "correct horse"


def users(folder: Path) -> Path:
    path = folder / "users"
    vdb.Vdb(path).set("mertz", PASSWORD)
    return path


@pytest.mark.row("RP-02")
def test_users_log_in_over_tls_and_wrong_passwords_are_refused(tmp_path, caplog):
    ours = Authority(tmp_path)
    files = ours.issue("server", "localhost")
    path = users(tmp_path)
    with serving(rpc.ClassicService, certfile=str(files.both), vdb=path) as server:

        def log_in(user: str | None, password: str) -> rpc.Connection:
            return rpc.classic.ssl_connect(
                "localhost", server.port, ca_certs=str(ours.file), user=user, password=password, key=KEY
            )

        with log_in("mertz", PASSWORD) as conn:
            assert conn.eval("6 * 7") == 42  # type: ignore[attr-defined]
        for name, password in (("mertz", "wrong"), ("nobody", PASSWORD), ("mertz", ""), ("", "")):
            with pytest.raises(AuthenticationError, match="wrong user name or password"):
                log_in(name, password)
        with pytest.raises((ConnectionError, EOFError)):
            log_in(None, "")  # the key alone is not enough
        vdb.Vdb(path).remove("mertz")
        with pytest.raises(AuthenticationError):
            log_in("mertz", PASSWORD)
    assert "wrong user name or password" in caplog.text and PASSWORD not in caplog.text


@pytest.mark.row("RP-02")
def test_a_file_of_users_holds_salted_hashes_and_is_ones_own(tmp_path, monkeypatch, capsys):
    path = tmp_path / "users"
    for name in ("ada", "bob"):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        assert vdb.main([str(path), "add", name]) == 0
    text = path.read_text()
    hashes = {line.rpartition(":")[2] for line in text.splitlines()}
    assert len(hashes) == 2 and PASSWORD not in text and path.stat().st_mode & 0o777 == 0o600
    assert vdb.main([str(path), "list"]) == 0 and capsys.readouterr().out == "ada\nbob\n"
    assert vdb.main([str(path), "remove", "ada"]) == 0 and vdb.Vdb(path).names() == ["bob"]
    assert vdb.main([str(path), "remove", "ada"]) == 1
    assert "has no user 'ada'" in capsys.readouterr().err
    for name, password in (("a:b", PASSWORD), ("", PASSWORD), ("ada", "short")):
        with pytest.raises(ValueError):
            vdb.Vdb(path).set(name, password)
    path.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        rpc.ThreadedServer(rpc.ClassicService, port=0, key=KEY, vdb=path, certfile="any")
    with pytest.raises(ValueError, match="over TLS only"):
        rpc.ThreadedServer(rpc.ClassicService, port=0, key=KEY, vdb=path)
    with pytest.raises(SystemExit):
        vdb.main([str(path), "add"])
