"""The World: processes on a stage, who dials whom, and faults.

Layer 7. For tests only.
"""

from __future__ import annotations

from dispycos.config import Limits
from dispycos.events import Dial, DialFailed, PeerUp
from dispycos.model import Incarnation, Location
from dispycos.simulation.link import Condition, Link
from dispycos.simulation.process import Process
from dispycos.simulation.stage import Stage


class World(Stage):
    """A stage with processes on it, their sessions, and faults; see `Stage` for its arguments."""

    def __init__(self, seed: int, *, limits: Limits | None = None, max_delay: float = 0.02) -> None:
        super().__init__(seed, limits=limits, max_delay=max_delay)
        self.processes: list[Process] = []  # each that was ever started, in order
        self.links: list[Link] = []
        self._dials: dict[tuple[Incarnation, Location], int] = {}

    # Processes and their sessions.

    def started(self, process: Process) -> None:
        self.record(process.name, "starts", process.incarnation[:4].hex())
        if process not in self.processes:
            self.processes.append(process)
        for link in self.links:
            if not link.over and process.location is not None:
                for side in (0, 1):
                    if link.ends[side].location == process.location and not link.lives(side):
                        self.plan(self.random.uniform(0.05, 1.0), link.replaced)

    def process_at(self, location: Location) -> Process | None:
        return next((p for p in self.processes if p.alive and p.location == location), None)

    def connect(self, one: Process, other: Process) -> Link:
        """Begin the session between two live processes; both hear PeerUp."""
        link = Link(self, one, other)
        self.links = [kept for kept in self.links if not kept.over]
        self.links.append(link)
        for end, peer in ((one, other), (other, one)):
            end.links[peer.incarnation] = link
            up = PeerUp(peer.incarnation, peer.roles, peer.location, peer.name)
            end.call(end.incarnation, link.hear, (end, up))
        return link

    def dial(self, process: Process, dial: Dial) -> None:
        key = (process.incarnation, dial.location)
        if key not in self._dials:
            self._dials[key] = 0
            process.after(self.delay(), self._try, process, dial)

    def stop_dialling(self, process: Process, location: Location) -> None:
        self._dials.pop((process.incarnation, location), None)

    def _try(self, process: Process, dial: Dial) -> None:
        key = (process.incarnation, dial.location)
        tries = self._dials.get(key)
        if tries is None:
            return
        other = self.process_at(dial.location)
        if other is not None and other.incarnation in process.links:
            del self._dials[key]
            return
        failed = self._no_answer(process, other, dial)
        if failed is None and other is not None:
            del self._dials[key]
            self.connect(process, other)
            return
        self._dials[key] = tries + 1
        wait = min(self.limits.redial_first * 2**tries, self.limits.redial_max) * self.random.uniform(
            0.5, 1.5
        )
        process.after(wait, self._try, process, dial)
        process.hear(failed)

    def _no_answer(self, process: Process, other: Process | None, dial: Dial) -> DialFailed | None:
        """Why that dial fails; None: it doesn't. `other` is who lives there."""
        at = dial.location
        # Who died there has left its host behind, which refuses if it can be reached.
        hosts = {known.host for known in self.processes if known.location == at}
        cut = any(
            (process.host, host) in self.blocked or (host, process.host) in self.blocked for host in hosts
        )
        if cut or hosts & self.vanished or (other is not None and other.condition is Condition.FROZEN):
            return DialFailed(at, "timed out")
        if other is None:
            return DialFailed(at, "connection refused", refused=True)
        reason = other.accepts(process, dial.reservation)
        return DialFailed(at, reason) if reason else None

    # Faults.

    def cut(self, one: str, other: str, *, both: bool = True) -> None:
        """Nothing that host `one` sends reaches host `other`; both: nor the other way."""
        self.record(one, "is cut from", f"{other}{'' if both else ' one way'}")
        self.blocked.add((one, other))
        if both:
            self.blocked.add((other, one))
        for link in self._between(one, other):
            link.was_cut()

    def heal(self, one: str, other: str) -> None:
        self.record(one, "is joined to", other)
        self.blocked.discard((one, other))
        self.blocked.discard((other, one))
        for link in self._between(one, other):
            link.was_healed()

    def vanish(self, host: str) -> None:
        """The host loses its power: its processes are gone, and nothing there refuses a dial."""
        self.record(host, "vanishes", "")
        self.vanished.add(host)
        for process in self.processes:
            if process.host == host:
                process.kill("its host lost power")

    def slow(self, link: Link, side: int, seconds: float) -> None:
        """What end `side` of that session sends takes so long, and what others send does not; 0: no more.

        Less than a silence that anybody would notice: the bytes come one after the other, late.
        """
        assert seconds < self.limits.suspect_after
        ends = link.ends[side], link.ends[1 - side]
        self.record(ends[0].name, "is slow to", f"{ends[1].name} by {seconds:g} s")
        link.lags[side] = seconds

    def set_clock(self, host: str, by: float) -> None:
        """Somebody sets that host's wall clock."""
        self.record(host, "has its clock set by", f"{by:+g} s")
        self.wall[host] = self.wall.get(host, 0.0) + by

    def sleep(self, host: str, seconds: float) -> None:
        """The host is suspended: nothing runs there, and no clock but the wall's (R-46)."""
        asleep = [process for process in self.processes if process.host == host and process.running]
        self.record(host, "sleeps", f"{seconds:g} s")
        for process in asleep:
            process.freeze()
        self.plan(seconds, self._wake_up, [(process, process.incarnation) for process in asleep], seconds)

    def _wake_up(self, asleep: list[tuple[Process, Incarnation]], seconds: float) -> None:
        for process, incarnation in asleep:
            if process.incarnation == incarnation and process.condition is Condition.FROZEN:
                process.stood_still(seconds)
                process.thaw()

    def calm(self) -> None:
        """End all faults: heal every cut, thaw every process, have all links and messages as usual."""
        for link in self.links:
            link.lags = [0.0, 0.0]
        self.twice, self.lost = {}, {}
        for one, other in sorted(self.blocked):
            self.heal(one, other)
        for process in list(self.processes):
            process.thaw()

    def _between(self, one: str, other: str) -> list[Link]:
        return [k for k in self.links if not k.over and {k.ends[0].host, k.ends[1].host} == {one, other}]
