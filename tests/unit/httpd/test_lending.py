"""A shared scheduler's view: what it is not told stays unknown, and nobody is led where he should not go."""

from __future__ import annotations

import pytest

from dispycos.httpd import lending
from dispycos.httpd.events import Changed, Gone, Sample
from dispycos.httpd.known import Known
from dispycos.httpd.view import CLOSED_KEPT, View

LENDER = Known(("done", "running"), by_pulse=True)


@pytest.mark.row("MO-14", "MO-08")
def test_what_a_scheduler_does_not_count_is_unknown_in_every_sum() -> None:
    view = View("scheduler", 0.0, LENDER)
    view.handle(Changed("cluster", None, {"submitted": 9, "done": 3, "pulse_interval": 10.0}), 0.0)
    view.handle(Changed("node", "n", {}), 0.0)
    for key in ("a", "b"):
        view.handle(Changed("server", key, {"state": "busy", "running": 1, "done": 2}, "n"), 0.0)
    view.handle(Sample(0.0), 0.0)
    view.end_tick(0.0)
    node, server = view.nodes["n"].row, view.servers["a"].row
    for row in (node, server):
        assert [row[name] for name in ("submitted", "failed", "waiting")] == [None] * 3
    assert (node["running"], node["done"]) == (2, 4)
    assert (view.cluster["running"], view.cluster["waiting"]) == (2, 4)
    view.check()
    # A server that is gone and forgotten leaves what it had done.
    view.handle(Gone("server", "a", "it ended", 1.0), 1.0)
    view.end_tick(2.0 + CLOSED_KEPT)
    assert (node["running"], node["done"], node["submitted"]) == (1, 4, None)
    view.check()


@pytest.mark.row("MO-14")
def test_another_clients_turn_counts_anew_and_no_rate_is_negative() -> None:
    view = View("scheduler", 0.0, LENDER)

    def rate(now: float, done: int | None) -> float | None:
        view.handle(Changed("cluster", None, {"submitted": done, "done": done, "pulse_interval": 10.0}), now)
        view.end_tick(now)
        found: float | None = view.cluster["rate"]
        return found

    # Told each 10 s, it is that of the last two pulses: it stands still between them.
    rates = [rate(float(second), 50 * (second // 10)) for second in range(60)]
    assert set(rates[20:]) == {5.0}
    # The next client has said nothing yet.
    assert (rate(60.0, None), rate(61.0, 0), rate(71.0, 20)) == (None, 0.0, 2.0)
    assert view.cluster["waiting"] == 0


@pytest.mark.row("MO-23", "SE-110")
@pytest.mark.parametrize(
    "said",
    [
        "",
        "javascript:alert(1)",
        "http://a:1/#token=x",
        "http://u@a:1",
        "http://a b:1",
        "http://a:1\n",
        "//a:1",
    ],
)
def test_only_the_address_of_a_monitor_is_led_to(said: str) -> None:
    assert lending.address(said) == ""
    assert "It has no monitor" in lending.elsewhere("a", lending.address(said))


@pytest.mark.row("MO-23")
def test_a_monitor_on_loopback_is_said_to_be_on_its_machine() -> None:
    for address in ("http://127.0.0.1:8181", "https://[::1]:8181"):
        assert lending.address(address) == address
        assert f"{address} on its machine" in lending.elsewhere("a", address)
    assert "http://head:8181 shows" in lending.elsewhere("a", "http://head:8181")
    assert "not told yet" in lending.elsewhere("a", None)
