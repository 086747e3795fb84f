"""Actions: what an operator may ask for, read strictly and held against what is known now.

An action names rows and the number of the model that its user looked at. What changed its state
since then is not touched: the answer says so (MO-57). Ids are never given again, so that an
action can't hit another one than was meant.

Pure. Layer 2. Rows MO-34, MO-57, HT-14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispycos.httpd.rows import Row
from dispycos.httpd.tasks import LIVE
from dispycos.httpd.view import View

# action -> the kind of its targets
ACTIONS = {
    "terminate_tasks": "task",
    "suspend_node": "node",
    "resume_node": "node",
    "close_node": "node",
    "restart_node": "node",
    "suspend_server": "server",
    "resume_server": "server",
    "close_server": "server",
    "restart_server": "server",
}
MAX_TARGETS = 1000
MAX_ID = 24  # characters


class BadAction(ValueError):
    """It is not what is described in docs/monitor-wire.md; the text says where."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for an action."""

    action: str
    targets: list[str]  # ids of rows
    seen: int  # number of the model that the user looked at


def read(body: Any) -> Wanted:
    """The request in a JSON value. BadAction says what is wrong with it."""
    if not isinstance(body, dict) or set(body) != {"action", "targets", "seen"}:
        raise BadAction("an action is an object with action, targets and seen")
    action, targets, seen = body["action"], body["targets"], body["seen"]
    if not isinstance(action, str) or action not in ACTIONS:
        raise BadAction(f"action must be one of {', '.join(ACTIONS)}")
    if not isinstance(targets, list) or not 1 <= len(targets) <= MAX_TARGETS:
        raise BadAction(f"targets must be a list of 1 to {MAX_TARGETS} ids")
    if not all(isinstance(row_id, str) and 0 < len(row_id) <= MAX_ID for row_id in targets):
        raise BadAction(f"a target must be an id of at most {MAX_ID} characters")
    if len(set(targets)) != len(targets):
        raise BadAction("a target stands twice in the list")
    if isinstance(seen, bool) or not isinstance(seen, int) or seen < 0:
        raise BadAction("seen must be the number of the model that was looked at")
    return Wanted(action, targets, seen)


def target(view: View, wanted: Wanted, row_id: str) -> Row | tuple[str, str]:
    """The row to act on, or (outcome, text) of why there is none."""
    kind = ACTIONS[wanted.action]
    row = view.find(row_id)
    if row is None:
        return "gone", "nothing is known of it any more"
    if row.kind != kind:
        return "refused", f"{wanted.action} is for a {kind}, and {row_id} is a {row.kind}"
    state = row["state"]
    if kind == "task":
        if state not in LIVE:
            return "gone", f"{row['name']} has ended before: {state}"
        return row
    if state == "closed":
        return "gone", f"it was closed before: {row['why'] or 'no reason was given'}"
    if row.state_seq > wanted.seen and not _both_ready(state):
        return "refused", f"it is {state} since you looked at it: look again"
    return row


def _both_ready(state: str) -> bool:
    # A server turns busy and idle all the time: nobody who acts on it means that.
    return state in ("busy", "idle")
