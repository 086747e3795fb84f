"""Context managers of a service, used in a `with` of its client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from dispycos import rpc
from tests.io.rpc.servers import connected


class Own(Exception):
    """The server does not know of it by name, since it is looked for where it was imported."""


class Doors(rpc.Service):
    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextlib.contextmanager
    def exposed_door(self, number: int) -> Iterator[int]:
        self.seen.append("in")
        try:
            yield number + 1
        except Exception as exc:
            self.seen.append(f"{type(exc).__name__}: {exc}")
            if isinstance(exc, KeyError):
                return
            if isinstance(exc, OSError):
                raise RuntimeError("another one") from exc
            raise
        finally:
            self.seen.append("out")


@pytest.mark.row("RP-16", "RP-21")
def test_a_context_of_a_service_is_entered_left_and_hears_of_errors() -> None:
    doors = Doors()
    with connected(doors) as conn:
        with conn.root.door(3) as number:
            assert (number, doors.seen) == (4, ["in"])
        assert doors.seen == ["in", "out"]
        with conn.root.door(1):
            raise KeyError("swallowed there")
        with pytest.raises(Own, match="mine"), conn.root.door(1):
            raise Own("mine")
        with pytest.raises(RuntimeError, match="another one"), conn.root.door(1):
            raise OSError("changed there")
        assert doors.seen[2:] == ["in", "KeyError: 'swallowed there'", "out", "in", "Own: mine", "out",
            "in", "OSError: changed there", "out"]  # fmt: skip
        context = conn.root.door(1)
        for name in ("gen", "func", "args", "_recreate_cm", "__dict__"):
            with pytest.raises(AttributeError, match="cannot access"):
                getattr(context, name)
        with pytest.raises(AttributeError):
            conn.method(context._number, "__call__", (len,), {})
