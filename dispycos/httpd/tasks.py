"""The rows of tasks: which are kept, which server has them, and which of its tasks runs.

A server runs one CPU task at a time, in the order in which it got them: the first of those
it has runs, the others wait there. I/O tasks run at once. What the server itself says of its
tasks (Sights) is more exact, and goes before.

Pure. Layer 2. Rows MO-10, MO-19, MO-20; R-39.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

from dispycos.httpd.changes import Changes
from dispycos.httpd.events import Living, LivingTask, PastTask, Sights, TaskEnded, TaskPlaced, TaskSubmitted
from dispycos.httpd.places import LAST_ENDED, ServerPlace
from dispycos.httpd.rows import FULL, LETTERS, Row
from dispycos.model import End

MAX_WAITING = 10_000  # rows of tasks that wait; more are counted only
MAX_ENDED = 10_000  # rows of tasks that ended
MAX_REASONS = 1000  # whole texts of failures
UNSEEN = "not recorded: nobody looked at tasks when it ended"
MAX_REASON = 300  # characters of a reason in a row

ENDS = {
    End.FINISHED: "finished",
    End.FAILED: "failed",
    End.CANCELLED: "cancelled",
    End.TIMED_OUT: "timed out",
    End.REJECTED: "rejected",
    End.SERVER_LOST: "lost",
    End.NODE_LOST: "lost",
    End.ABANDONED: "abandoned",
}
LIVE = frozenset({"waiting", "sent", "running", "paused"})
GOOD = frozenset({End.FINISHED, End.CANCELLED})  # what is not counted as failed


class Tasks:
    """Rows of tasks by number."""

    def __init__(self, rows: dict[str, Row], changes: Changes, servers: dict[Hashable, ServerPlace]) -> None:
        self._rows = rows  # of the whole view, by id
        self._changes = changes
        self._servers = servers
        self._at: dict[int, ServerPlace] = {}  # living task -> the server that has it
        self.living: dict[int, Row] = {}
        self.waiting = 0  # rows of living tasks that no server has
        self.ended: deque[Row] = deque()
        self._reasons: dict[int, str] = {}  # of the last failures, the oldest first

    def id_of(self, number: int) -> str:
        """The row id of a task: the short number that its name carries, too."""
        return f"{LETTERS['task']}{number & 0xFFFFFFFF}"

    def reason(self, number: int) -> str | None:
        """The whole text of a failure, while it is kept."""
        return self._reasons.get(number)

    # What happens.

    def submitted(self, event: TaskSubmitted) -> None:
        if event.number not in self.living and self.waiting < MAX_WAITING:
            row = self._new(event.number, event.name, event.io, event.attempts, event.args, event.why_no_args)
            row.put({"state": "waiting", "submitted": event.time})
            self.waiting += 1

    def placed(self, event: TaskPlaced) -> None:
        row = self.living.get(event.number)
        if row is None:
            row = self._new(event.number, event.name, event.io, event.attempts, event.args, event.why_no_args)
            row.put({"submitted": event.submitted})
            self.waiting += 1
        self._put_at(event.number, row, event.server, event.time)
        row.put({"attempt": event.attempt, "reason": ""})
        self._changes.mark(row, FULL["task"])

    def over(self, event: TaskEnded) -> None:
        row = self.living.pop(event.number, None)
        # Pages of the timeline have it if it had begun, those of a server if it was there.
        was_at = self._at.get(event.number)
        seen = row is not None and row["begun"] is not None
        if row is None:
            row = self._make(event.number, event.name, event.io, event.attempt, None, "")
            row.put({"submitted": event.submitted})
        else:
            self._leave(event.number, row, event.time)
        server = self._servers.get(event.server) if event.server is not None else None
        begun = row["begun"]
        if begun is not None:
            # Of one that was handed over while nobody looked it may not be known what ran ahead of it.
            begun = max(begun, event.begun)
        elif event.end is not End.REJECTED and server is not None:
            begun = event.begun
        mask = row.put(
            {
                "state": ENDS[event.end],
                "attempt": event.attempt,
                "server": server.row.id if server is not None else row["server"],
                "begun": begun,
                "ended": event.time,
                "reason": shortened(event.text),
                "where": None,
            }
        )
        self._changes.mark(row, mask if seen and was_at is server else FULL["task"])
        if event.text:
            self._reasons[event.number] = event.text
            if len(self._reasons) > MAX_REASONS:
                del self._reasons[next(iter(self._reasons))]
        if server is not None:
            server.ended.append(row)
            if len(server.ended) > LAST_ENDED:
                self._changes.remove(server.ended.popleft().id, server.row.id)
        self._keep_ended(row)

    def survey(self, event: Living) -> None:
        """All that live, from one who knows: what is missing here comes, what is too much goes."""
        # By server and time, so that the order there is the one in which they were handed over.
        for past in event.ended:
            if past.number not in self.living and self.id_of(past.number) not in self._rows:
                self._ended_unseen(past)
        told = {task.number for task in event.tasks}
        for number in [number for number in self.living if number not in told]:
            row = self.living.pop(number)
            self._leave(number, row, event.time)
            self._forget(row)
        for task in sorted(event.tasks, key=lambda task: task.since):
            known = self.living.get(task.number)
            server = self._servers.get(task.server) if task.server is not None else None
            if known is not None and self._at.get(task.number) is server:
                continue
            if known is None and server is None and self.waiting >= MAX_WAITING:
                continue
            row = known if known is not None else self._from_survey(task)
            if server is None:
                self._leave(task.number, row, event.time)
                self.waiting += 1
                mask = row.put({"state": task.state, "server": None, "begun": None})
                self._changes.mark(row, mask)
            else:
                self._put_at(task.number, row, task.server, task.begun)
                row.put({"attempt": task.attempt})
                self._changes.mark(row, FULL["task"])

    def _ended_unseen(self, past: PastTask) -> None:
        row = self._make(past.number, past.name, False, past.attempt, None, "")
        unknown = dict.fromkeys(("server", "kind", "submitted", "begun", "ended", "args"), UNSEEN)
        reason = shortened(past.text)
        row.put({"state": ENDS[past.end], "kind": None, "reason": reason, "notes": unknown})
        self._changes.mark(row, FULL["task"])
        self._keep_ended(row)

    def _keep_ended(self, row: Row) -> None:
        self.ended.append(row)
        if len(self.ended) > MAX_ENDED:
            self._forget(self.ended.popleft())

    def _from_survey(self, task: LivingTask) -> Row:
        row = self._new(task.number, task.name, task.io, task.attempts, task.args, task.why_no_args)
        row.put({"state": task.state, "submitted": task.submitted, "attempt": task.attempt})
        self.waiting += 1
        return row

    def seen(self, event: Sights) -> None:
        """A server says what its tasks do."""
        place = self._servers.get(event.server)
        if place is None:
            return
        for number, row in [*place.cpu.items(), *place.io.items()]:
            sight = event.tasks.get(number)
            if sight is None:
                self._changes.mark(row, row.put({"where": None}))
                continue
            begun, stack = sight
            values: dict[str, Any] = {"where": [list(frame) for frame in stack]}
            first = row["begun"] is None
            # Our own clock and the server's word differ by a little: no need to show that.
            if first or abs(row["begun"] - begun) > 0.25:
                values["begun"] = begun
            if row["state"] != "running":
                values["state"] = "running"
            mask = row.put(values)
            self._changes.mark(row, FULL["task"] if first else mask)

    def server_closed(self, place: ServerPlace, time: float) -> None:
        """Its tasks wait again, until somebody says what became of them."""
        for number, row in [*place.cpu.items(), *place.io.items()]:
            self._leave(number, row, time)
            self.waiting += 1
            self._changes.mark(
                row, row.put({"state": "waiting", "server": None, "begun": None, "where": None})
            )

    def server_forgotten(self, place: ServerPlace) -> None:
        place.ended.clear()

    # Where they are.

    def _put_at(self, number: int, row: Row, server: Hashable, time: float) -> None:
        self._leave(number, row, time)
        place = self._servers.get(server)
        if place is None or place.closed:
            self.waiting += 1
            row.put({"state": "sent", "server": None, "begun": None, "where": None})
            return
        self._at[number] = place
        runs = row["kind"] == "I/O" or not place.cpu
        (place.io if row["kind"] == "I/O" else place.cpu)[number] = row
        row.put(
            {
                "state": "running" if runs else "sent",
                "server": place.row.id,
                "begun": time if runs else None,
                "where": None,
            }
        )

    def _leave(self, number: int, row: Row, time: float) -> None:
        """No server has it any more; the next one there begins."""
        if number in self.living and row["begun"] is not None:
            # It goes back to wait: it has not begun any more, and has no bar.
            self._changes.remove(row.id, "timeline")
        place = self._at.pop(number, None)
        if place is None:
            self.waiting -= 1
            return
        self._changes.remove(row.id, place.row.id)
        if place.io.pop(number, None) is not None:
            return
        was_first = next(iter(place.cpu)) == number
        del place.cpu[number]
        if was_first and place.cpu:
            following = next(iter(place.cpu.values()))
            if following["state"] != "running":
                following.put({"state": "running", "begun": time})
                self._changes.mark(following, FULL["task"])

    def _new(self, number: int, name: str, io: bool, attempts: int, args: str | None, why: str) -> Row:
        row = self._make(number, name, io, 0, args, why)
        row.put({"attempts": attempts})
        self.living[number] = row
        self._changes.mark(row, FULL["task"])
        return row

    def _make(self, number: int, name: str, io: bool, attempt: int, args: str | None, why: str) -> Row:
        row = Row(self.id_of(number), "task", number)
        self._rows[row.id] = row
        row.put(
            {
                "name": name[:255],
                "state": "waiting",
                "attempt": attempt,
                "kind": "I/O" if io else "CPU",
                "reason": "",
                "args": args,
                "notes": {"args": why} if args is None and why else None,
            }
        )
        return row

    def _forget(self, row: Row) -> None:
        if self._rows.get(row.id) is row:
            del self._rows[row.id]
        self._changes.remove(row.id)

    def check(self) -> None:
        """Assert every invariant."""
        at_places = 0
        for place in self._servers.values():
            assert len(place.ended) <= LAST_ENDED
            for number, row in (*place.cpu.items(), *place.io.items()):
                assert self._at.get(number) is place, f"{row.id} is not where it thinks"
                assert self.living.get(number) is row
                assert row["server"] == place.row.id
                at_places += 1
            first = next(iter(place.cpu.values()), None)
            assert first is None or first["state"] == "running", f"{place.row.id} has tasks and runs none"
        assert at_places == len(self._at)
        assert self.waiting == len(self.living) - len(self._at), "waiting rows miscounted"
        assert len(self.ended) <= MAX_ENDED
        for row in self.living.values():
            assert row["state"] in LIVE, f"{row.id} lives and is {row['state']}"
        for row in self.ended:
            assert row["state"] not in LIVE


def shortened(text: str) -> str:
    """A reason for a row: of a traceback its last line, which names the error."""
    if text.startswith("Traceback ") or "\nTraceback " in text:
        text = text.rstrip().rpartition("\n")[2]
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"
