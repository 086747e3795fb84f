"""`httpd.asking`: which monitor a port means."""

from __future__ import annotations

import pytest

from dispycos.httpd import asking


@pytest.mark.row("MO-61")
def test_a_port_where_no_monitor_is_stands_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.notes, "living", list)
    with pytest.raises(
        OSError, match="no monitor of this account runs on this machine, so none at port 8181: "
    ):
        asking.find(8181)
    with pytest.raises(
        OSError, match="no monitor of this account runs on this machine: make one by HTTPServer"
    ):
        asking.find()


@pytest.mark.row("MO-61")
@pytest.mark.parametrize("port", [0, 99999])
def test_what_is_no_port_is_refused_as_such(port: int) -> None:
    with pytest.raises(ValueError, match=f"the port of a monitor must be .*, not {port}"):
        asking.find(port)
