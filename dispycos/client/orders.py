"""What a program asks of its fleet, and what the fleet asks of the client's I/O half.

Each order that carries a ticket is answered once, with that ticket, by what it names or else by
`Answered`: code 0, or -1 with the reason. Payloads are setups and components, pickled by
whoever made the order; the fleet never looks into them.

The I/O half promises: PeerUp is fed for each session that exists when the Fleet is made;
`Heard` is fed for the messages of scheduler, nodes and servers that FLEET_HEARS names; all
actions of one event are carried out before the next event is fed, also where `dispatch`
answers to one of them with something for the fleet.

Pure. Layer 2.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from dispycos import messages
from dispycos.errors import DispycosError
from dispycos.model import DispycosNodeAvailInfo, DispycosStatus, Incarnation, Location, Payload
from dispycos.records import record

# A node or server as users name it: an address (all nodes there), `address:port`, a Location of
# a node or server, or an incarnation; None: all nodes.
Where: TypeAlias = str | Location | Incarnation | None

# Messages that are the fleet's; other messages of servers are the dispatch's.
FLEET_HEARS: tuple[type[Any], ...] = (
    messages.RegisterAgain,
    messages.Queued,
    messages.Scheduled,
    messages.ScheduleRefused,
    messages.NodeGranted,
    messages.NodeIgnored,
    messages.LeaseRenewed,
    messages.NodeWithdrawn,
    messages.ClientEnded,
    messages.CloseAsked,
    messages.TellDemand,
    messages.Prepared,
    messages.PrepareFailed,
    messages.ServerStarted,
    messages.ServerEnded,
    messages.ServerDelayed,
    messages.NodeReport,
    messages.NodeOpen,
    messages.Released,
    messages.ServerReady,
    messages.SetUpFailed,
    messages.CloseRequest,
    messages.Finished,
)


# Events: orders.


@record
class BeginSchedule:
    """Ask this scheduler for a turn. Answered when the turn has come, or is refused.

    scheduler  a live peer, or our own incarnation for a private scheduler.
    location   where it is dialled again when it is lost; None: nowhere.
    announced  where it says it is; its successor may come from there, and says the same.
    name       what queue listings show of this client; "": as it is called already.
    """

    ticket: int
    scheduler: Incarnation
    location: Location | None
    announced: Location | None = None
    name: str = ""


@record
class GiveUpSchedule:
    """Leave the queue; the order with this ticket is answered -1 (DC-15)."""

    ticket: int


@record
class EnableNode:
    """Prepare a node that waits, or whose setup failed; `setup`: node_setup with arguments (DC-37)."""

    ticket: int
    where: Where
    setup: Payload | None


@record
class EnableServer:
    """Set up a server that waits, or whose setup failed (DC-38)."""

    ticket: int
    where: Where
    setup: Payload | None


@record
class Suspend:
    """No new tasks there, at a server or at all servers of nodes (DC-24, DC-28)."""

    ticket: int
    where: Where
    node: bool  # True: `where` names nodes; False: a server


@record
class Resume:
    ticket: int
    where: Where
    node: bool


@record
class CloseOneServer:
    """Answered when its process is gone (DC-26, DC-27)."""

    ticket: int
    where: Where
    terminate: bool
    restart: bool


@record
class ForceServer:
    """End its process now; another takes its place (`dispatch` asks by EndServer, DC-57)."""

    server: Incarnation
    reason: str


@record
class CloseNode:
    """Answered when all its servers are gone and it is given back (DC-30)."""

    ticket: int
    where: Where
    terminate: bool


@record
class RestartOneNode:
    """Answered when it is prepared again; setup None: the former one (DC-31)."""

    ticket: int
    where: Where
    terminate: bool
    setup: Payload | None


@record
class AbandonZombie:
    """Whether silent nodes are given up; None: all nodes, present and later (DC-32)."""

    ticket: int
    where: Where
    flag: bool


@record
class AwaitServers:
    """Tell when so many servers would get tasks: ServersThere or ServersMissing answers (DC-60)."""

    ticket: int
    count: int
    timeout: float | None = None  # seconds; None: as long as the turn


@record
class AwaitNoMore:
    """Nobody waits for the answer to the AwaitServers with this ticket."""

    ticket: int


@record
class AddOneRule:
    """One more allocation rule (DC-36)."""

    rule: messages.Rule


@record
class NoNodes:
    """Who starts nodes for this program has none, and gets none: `reason` says why; "": one may come."""

    reason: str
    lasting: bool = True  # also for what is submitted later; False: for what waits at this moment


@record
class CloseAll:
    """End the turn. `dispatch` has let the tasks end before, or `terminate` ends them (DC-39)."""

    ticket: int
    terminate: bool


@record
class FilesSent:
    """The answer to SendFiles; `reason` says why they could not be stored there."""

    node: Incarnation
    reason: str = ""


# Actions.


@record
class Answered:
    """The answer to the order with this ticket; 0 is well."""

    ticket: int
    code: int
    reason: str = ""


@record
class ServersThere:
    """The answer to AwaitServers: those that would get tasks now, as many as were asked for or more."""

    ticket: int
    servers: tuple[Location, ...]


@record
class ServersMissing:
    """The other answer to AwaitServers: what its program is to get raised."""

    ticket: int
    error: type[DispycosError]
    reason: str


@record
class SayDemand:
    """Tell the scheduler what work there is, if it has not heard that."""

    anew: bool  # True: it has heard nothing of it


@record
class SendFiles:
    """Store the components that are files in this node's directory; FilesSent answers (DC-03)."""

    node: Incarnation


@record
class Notify:
    """For status_task and monitors; availabilities come bare (ST-08) and may be merged."""

    message: DispycosStatus | DispycosNodeAvailInfo


@record
class PleaseClose:
    """The scheduler is about to end: close the client as its program would (DS-19)."""

    terminate: bool
    reason: str


@record
class TurnEnded:
    """The turn is over; nothing of the fleet is left. Said once, last, after ClientClosed."""

    reason: str
