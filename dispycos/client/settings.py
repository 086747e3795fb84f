"""What a Client was made with, checked at once and never changed afterwards.

Rows DC-01, DC-04 to DC-13. Layer 5.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dispycos import config
from dispycos.arguments import flag, seconds
from dispycos.client.allocation import DispycosNodeAllocate, allocations
from dispycos.client.components import Components, check_target, sort_out
from dispycos.configuration.names import Found
from dispycos.records import record


@record
class Settings:
    """The arguments of a Client; see there for what they mean."""

    components: Components
    nodes: tuple[DispycosNodeAllocate, ...]
    pulse_interval: float  # seconds
    ping_interval: float | None  # seconds between discoveries; None: only at the start
    zombie_period: float  # seconds of silence; 0: never a zombie
    node_setup: Callable[..., Any] | None
    server_setup: Callable[..., Any] | None
    disable_nodes: bool
    disable_servers: bool
    restart_servers: bool
    abandon_zombies: bool
    send_ahead: bool = True  # False: a task is handed over only when its server can begin it at once


def settings(
    *,
    components: Sequence[Any],
    pulse_interval: float | None,
    nodes: Iterable[Any],
    node_setup: Any,
    server_setup: Any,
    disable_nodes: Any,
    disable_servers: Any,
    restart_servers: Any,
    abandon_zombie_nodes: Any,
    ping_interval: float | None,
    zombie_period: float | None,
    shortest_pulse: float | None = None,
    configured: Mapping[str, Found] | None = None,
) -> Settings:
    """Check everything; TypeError or ValueError names the argument.

    shortest_pulse  replaces `MinPulseInterval`, for a cluster that allows less.
    configured      what is set for programs, in place of what is None here.
    """
    for_none = {name: found.value for name, found in (configured or {}).items()}
    if pulse_interval is None and "pulse_interval" in for_none:
        pulse_interval = _number(for_none["pulse_interval"])
    if ping_interval is None and "ping_interval" in for_none:
        ping_interval = _number(for_none["ping_interval"])
    if zombie_period is None and "zombie_period" in for_none:
        zombie_period = _number(for_none["zombie_period"])
    if "nodes" in for_none and isinstance(nodes, list | tuple) and not nodes:
        nodes = for_none["nodes"]  # type: ignore[assignment]  # a setting of many texts
    pulse = _pulse(pulse_interval, shortest_pulse)
    ping = None
    if ping_interval:
        ping = seconds("ping_interval", ping_interval)
    zombie = 5 * pulse
    if zombie_period is not None:
        zombie = seconds("zombie_period", zombie_period)
        if zombie:
            zombie = max(zombie, 5 * pulse)
    return Settings(
        components=sort_out(components),
        nodes=tuple(allocations(nodes)),
        pulse_interval=pulse,
        ping_interval=ping,
        zombie_period=zombie,
        node_setup=_setup("node_setup", node_setup),
        server_setup=_setup("server_setup", server_setup),
        disable_nodes=flag("disable_nodes", disable_nodes),
        disable_servers=flag("disable_servers", disable_servers),
        restart_servers=flag("restart_servers", restart_servers),
        abandon_zombies=flag("abandon_zombie_nodes", abandon_zombie_nodes),
    )


def _number(value: Any) -> float:
    return float(value)  # checked where it was read


def _pulse(value: float | None, shortest_pulse: float | None) -> float:
    shortest = float(config.MinPulseInterval)
    pulse = 5 * shortest
    if shortest_pulse is not None:
        pulse = shortest_pulse
        shortest = min(shortest, shortest_pulse)
    if value is not None:
        pulse = seconds("pulse_interval", value)
    if not shortest <= pulse <= config.MaxPulseInterval:
        raise ValueError(
            f"pulse_interval {pulse:g} is not between MinPulseInterval={shortest:g} "
            f"and MaxPulseInterval={config.MaxPulseInterval:g}"
        )
    return pulse


def _setup(name: str, function: Any) -> Callable[..., Any] | None:
    if function is None:
        return None
    if not callable(function) or inspect.isclass(function):
        raise TypeError(f"{name} must be a generator function or `async def`, not {function!r:.200}")
    return check_target(function, name)
