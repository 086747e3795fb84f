"""What processes say to each other: one frozen dataclass a message.

They stand in `dispycos.protocol`, a file for each conversation, and all of them here by name.
A message is data only; `net.codec` turns it into msgpack by the type of each field and
refuses whatever does not fit. User values travel inside as `Payload`: opaque bytes that
the scheduler and the node daemon never look into (rule 6).

`NUMBERS` gives each message its number on the wire, for ever: append, never renumber.
Who may say what is registered with its handler (N5).

Pure. Layer 0.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from dispycos.protocol import files, pooling, preparing, reserving, running, scheduling, talking, watching
from dispycos.protocol.facts import (
    Avail,
    Job,
    NodeFacts,
    Rule,
    ServerFacts,
)
from dispycos.protocol.files import (
    FileAnswer,
    FileDelete,
    FileOffer,
    FileSlice,
    FileVerdict,
)
from dispycos.protocol.pooling import (
    DefineJob,
    ForgetJobs,
    JobsEnded,
    JoinPool,
    LeavePool,
    PoolClosed,
    PoolRoom,
    SubmitJobs,
)
from dispycos.protocol.preparing import (
    CloseServer,
    NodeOpen,
    NodeReport,
    Prepare,
    Prepared,
    PrepareFailed,
    RestartNode,
    ServerDelayed,
    ServerEnded,
    ServerStarted,
)
from dispycos.protocol.reserving import (
    NodeHere,
    Pulse,
    Release,
    Released,
    Renew,
    Reserve,
    Reserved,
    ReserveRefused,
)
from dispycos.protocol.running import (
    CancelTask,
    CloseRequest,
    Define,
    Ending,
    Finish,
    Finished,
    Holding,
    Outcomes,
    OutcomesSeen,
    Recall,
    Recalled,
    ServerReady,
    SetUpFailed,
    SetUpServer,
    Submit,
    SubmitRefused,
)
from dispycos.protocol.scheduling import (
    AddRule,
    Allocated,
    AskAllocate,
    ClientEnded,
    CloseAsked,
    CloseClient,
    Counts,
    LeaseRenewed,
    NodeGranted,
    NodeIgnored,
    NodeWithdrawn,
    Queued,
    ReturnNode,
    Schedule,
    Scheduled,
    ScheduleRefused,
    Unschedule,
)
from dispycos.protocol.talking import (
    Answer,
    Ask,
    Change,
    Deliver,
    Deliveries,
    Dismiss,
    FindNear,
    Goodbye,
    Introduction,
    Invoke,
    Locate,
    Located,
    Near,
    ReceiverKind,
    Refer,
    RegisterAgain,
    Undelivered,
    Verb,
    Withdraw,
)
from dispycos.protocol.watching import (
    LookAtServers,
    LookAtTasks,
    ServersSeen,
    TasksSeen,
)

__all__ = [
    "NUMBERS", "AddRule", "Allocated", "Answer", "Ask", "AskAllocate", "Avail", "CancelTask",
    "Change", "ClientEnded", "CloseAsked", "CloseClient", "CloseRequest", "CloseServer", "Counts",
    "Define", "DefineJob", "Deliver", "Deliveries", "Dismiss", "Ending", "FileAnswer", "FileDelete",
    "FileOffer", "FileSlice", "FileVerdict", "FindNear", "Finish", "Finished", "ForgetJobs",
    "Goodbye", "Holding", "Introduction", "Invoke", "Job", "JobsEnded", "JoinPool", "LeaseRenewed",
    "LeavePool", "Locate", "Located", "LookAtServers", "LookAtTasks", "Message", "Near",
    "NodeFacts", "NodeGranted", "NodeHere", "NodeIgnored", "NodeOpen", "NodeReport",
    "NodeWithdrawn", "Outcomes", "OutcomesSeen", "PoolClosed", "PoolRoom", "Prepare",
    "PrepareFailed", "Prepared", "Pulse", "Queued", "Recall", "Recalled", "ReceiverKind", "Refer",
    "RegisterAgain", "Release", "Released", "Renew", "Reserve", "ReserveRefused", "Reserved",
    "RestartNode", "ReturnNode", "Rule", "Schedule", "ScheduleRefused", "Scheduled",
    "ServerDelayed", "ServerEnded", "ServerFacts", "ServerReady", "ServerStarted", "ServersSeen",
    "SetUpFailed", "SetUpServer", "Submit", "SubmitJobs", "SubmitRefused", "TasksSeen",
    "Undelivered", "Unschedule", "Verb", "Withdraw",
]  # fmt: skip

NUMBERS: dict[int, type[Any]] = {
    **talking.NUMBERS,
    **files.NUMBERS,
    **reserving.NUMBERS,
    **scheduling.NUMBERS,
    **preparing.NUMBERS,
    **running.NUMBERS,
    **watching.NUMBERS,
    **pooling.NUMBERS,
}

Message: TypeAlias = Any  # one of the values of NUMBERS
