"""A far end needs a Python and a byte stream, and nothing else."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.row("EX-01")
def test_a_python_without_any_package_becomes_a_gateway(group):
    # -I: no environment, no user's packages; -S: no site-packages at all.
    gateway = group.makegateway(f"popen//python={sys.executable} -I -S")
    channel = gateway.remote_exec(
        """
        import sys
        channel.send([name for name in sys.modules if name.startswith("dispycos.net")])
        for item in channel:
            channel.send([item, sys.flags.isolated, sys.flags.no_site])
        """
    )
    assert "dispycos.net.link" in channel.receive(30)
    channel.send("there")
    assert channel.receive(30) == ["there", 1, 1]


def test_what_a_far_end_raises_has_its_own_lines(group):
    channel = group.makegateway("popen").remote_exec("def f():\n    return 1 / 0\nf()\n")
    with pytest.raises(channel.RemoteError, match="return 1 / 0") as caught:
        channel.receive(30)
    assert "ZeroDivisionError" in caught.value.formatted
    assert "dispycos" not in caught.value.formatted
    with pytest.raises(EOFError):
        channel.receive(30)
