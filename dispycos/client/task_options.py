"""How a task is run, as its program chose.

Pure. Layer 2. Row DC-61; requirements R-07, R-41 to R-43.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dispycos.arguments import integer, seconds
from dispycos.records import record

MOST = 1_000_000  # what is larger is meant to be without end, or a mistake


@record
class TaskOptions:
    """See `client.submitter.Submitter.options`."""

    retries: int = 0
    timeout: float = 0.0  # seconds from its begin; 0: none
    max_worker_deaths: int | None = None  # None: as the limits of this process say
    priority: int = 0

    def changed(self, chosen: Mapping[str, Any]) -> TaskOptions:
        """These, but for what is chosen; TypeError and ValueError name the option."""
        return replace(self, **{name: _CHECKS[name](value) for name, value in chosen.items()})


def _duration(value: Any) -> float:
    if value is None:
        return 0.0
    duration = seconds("timeout", value)
    if duration == 0:
        raise ValueError("timeout must be more than 0 seconds; None is no time-out")
    return duration


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "retries": lambda value: integer("retries", value, least=0, most=MOST),
    "timeout": _duration,
    "max_worker_deaths": lambda value: integer("max_worker_deaths", value, least=1, most=MOST),
    "priority": lambda value: integer("priority", value, least=-MOST, most=MOST),
}
