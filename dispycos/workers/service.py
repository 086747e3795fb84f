"""A master: client programs on one side, workers on the other.

The workers are nodes of a private scheduler, and the tasks of one Client of it: discovery,
proof of the key, loss, retries and credits are those of every cluster. The programs speak with
this service by `protocol.pooling`. What they send, and what workers answer, goes through as
the bytes it is.

A worker that ran jobs of a program begins anew when that program has left: nothing that its
code left behind meets the next one's.

I/O half. Layer 7. Rows CW-01 to CW-05, CW-17; rules N5, SE-24.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from dispycos.client.client import Client
from dispycos.client.relay import RelayTask
from dispycos.client.submission import Ended as TaskEnded
from dispycos.client.submission import Placed, Submission
from dispycos.client.task_options import TaskOptions
from dispycos.client.work import Work
from dispycos.events import DialFailed, PeerEvent, PeerGone
from dispycos.messages import DefineJob, ForgetJobs, Job, JoinPool, LeavePool, SubmitJobs
from dispycos.model import CodeHash, End, Incarnation, Location, Outcome, Payload, Role
from dispycos.net.reactor import Reactor
from dispycos.net.runner import Runner
from dispycos.runtime import Network
from dispycos.workers.job import JobFunction
from dispycos.workers.machine import (
    Ended,
    Joined,
    Left,
    PoolMachine,
    Refused,
    Run,
    Submitted,
    Withdraw,
    WorkersNow,
)
from dispycos.workers.outcome import interruption

log = logging.getLogger("dispycos")

MAX_FUNCTIONS = 20_000  # of one program at a time: far more than it keeps defined
RENEW_AFTER = 5_000  # functions that a program forgot, until the workers that loaded them begin anew
MAX_RETRIES = 1000


class _Member:
    """What the master keeps for a client program."""

    def __init__(self) -> None:
        self.functions: dict[CodeHash, tuple[CodeHash, str, Payload]] = {}  # by the program's hash
        self.tasks: dict[int, RelayTask] = {}  # its jobs that are out
        self.ran_at: set[Location] = set()  # the workers that ran some
        self.forgotten = 0  # functions, since its workers began


class _Changes:
    """Watches a client for what changes the number of its servers (`client.watcher.Watcher`)."""

    address = ""  # nobody sees it

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed

    def submitted(self, task: Submission, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Of no interest."""

    def placed(self, action: Placed) -> None:
        """Of no interest."""

    def ended(self, action: TaskEnded) -> None:
        """Of no interest: each job's own task tells."""

    def news(self, action: Any) -> None:
        """A node or server changed its state."""
        self._changed()


class PoolService:
    """The master of one process; `start` it on the reactor's thread."""

    def __init__(self, network: Network, client: Client) -> None:
        work = client.work
        assert work is not None, "the client is scheduled"
        self.machine = PoolMachine()
        self._network = network
        self._reactor: Reactor = network.reactor
        self._client = client
        self._work: Work = work
        self._members: dict[Incarnation, _Member] = {}
        self._runner = Runner(self.machine, network.reactor, network.endpoint, self._perform)
        self._closed = False

    def start(self) -> None:
        """Take programs from now on; reactor thread."""
        endpoint = self._network.endpoint
        endpoint.handle(JoinPool, self._join, who=Role.CLIENT)
        endpoint.handle(DefineJob, self._define, who=Role.CLIENT)
        endpoint.handle(SubmitJobs, self._submit, who=Role.CLIENT)
        endpoint.handle(ForgetJobs, self._forget, who=Role.CLIENT)
        endpoint.handle(LeavePool, self._leave, who=Role.CLIENT)
        endpoint.watch(self._peer_event)
        self._client.watch(_Changes(lambda: self._reactor.call(self._count)))
        self._count()

    def close(self) -> None:
        """Take no more, and end the jobs that are out; reactor thread."""
        self._closed = True
        for program in list(self._members):
            self._runner.feed(Refused(program, "the master ends"))
        self._runner.stop()

    # Workers.

    def _count(self) -> None:
        if not self._closed:
            self._runner.feed(WorkersNow(self._work.servers))

    # Programs; reactor thread.

    def _join(self, program: Incarnation, message: JoinPool) -> None:
        self._members.setdefault(program, _Member())
        self._runner.feed(Joined(program, message.name))

    def _leave(self, program: Incarnation, message: LeavePool) -> None:
        self._left(program, "it is done")

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, PeerGone):
            self._left(event.peer, event.reason)

    def _left(self, program: Incarnation, reason: str) -> None:
        self._runner.feed(Left(program, reason))
        member = self._members.pop(program, None)
        if member is not None:
            self._work.submissions.forget([function for function, _, _ in member.functions.values()])
            self._renew(member)

    def _renew(self, member: _Member) -> None:
        """What the program's jobs left at workers ends with their processes."""
        if self._work.open:
            for worker in member.ran_at.intersection(self._work.driver.fleet.servers()):
                self._client.restart_server(worker)
        member.ran_at.clear()

    def _forget(self, program: Incarnation, message: ForgetJobs) -> None:
        member = self._members.get(program)
        if member is None:
            return
        known = [function for function in message.functions if function in member.functions]
        self._work.submissions.forget([member.functions.pop(function)[0] for function in known])
        member.forgotten += len(known)
        if member.forgotten >= RENEW_AFTER:
            member.forgotten = 0
            self._renew(member)

    def _define(self, program: Incarnation, message: DefineJob) -> None:
        member = self._members.get(program)
        if member is None or message.function in member.functions:
            return
        if len(member.functions) >= MAX_FUNCTIONS:
            self._runner.feed(Refused(program, f"it defined more than {MAX_FUNCTIONS} functions"))
            return
        code = message.code
        surroundings = (message.name, message.folder, message.path)
        function = JobFunction(bytes(program), *surroundings, code.data, code.buffers)
        buffers: list[Any] = []
        data = pickle.dumps(function, 5, buffer_callback=lambda buffer: buffers.append(buffer.raw()))
        # Two programs may send the same function: each has its own, in its own surroundings.
        ours = CodeHash(hashlib.sha256(bytes(program) + message.function).digest()[:16])
        member.functions[message.function] = (ours, message.name, Payload(data, tuple(buffers)))

    def _submit(self, program: Incarnation, message: SubmitJobs) -> None:
        member = self._members.get(program)
        if member is None:
            return
        if unknown := [job.id for job in message.jobs if job.function not in member.functions]:
            self._runner.feed(Refused(program, f"job {unknown[0]} names a function that it did not define"))
            return
        self._runner.feed(Submitted(program, message.jobs))

    # What the machine asks for; any thread.

    def _perform(self, action: Any) -> None:
        if isinstance(action, Run):
            self._run(action.program, action.job)
        elif isinstance(action, Withdraw):
            self._withdraw(action.program, action.ids, action.reason)

    def _run(self, program: Incarnation, job: Job) -> None:
        member = self._members.get(program)
        if member is None or self._closed:
            return
        known = member.functions.get(job.function)
        if known is None:
            reason = f"it forgot the function of job {job.id}, which had not ended"
            self._reactor.call(self._runner.feed, Refused(program, reason))
            return
        function, name, code = known
        self._work.submissions.define(function, code)
        payload = _call(job.args)
        options = TaskOptions(retries=min(max(job.retries, 0), MAX_RETRIES))

        def ended(task: RelayTask, outcome: Outcome) -> None:
            self._reactor.call(self._ended, program, job.id, function, task, outcome)

        member.tasks[job.id] = self._work.submissions.relay(function, name, payload, options, ended)

    def _ended(
        self, program: Incarnation, number: int, function: CodeHash, task: RelayTask, outcome: Outcome
    ) -> None:
        member = self._members.get(program)
        if member is None:
            self._work.submissions.forget([function])  # it lived on when its program left
            return
        member.tasks.pop(number, None)
        if (where := task.worker) is not None:
            member.ran_at.add(where)
        end, value, text = outcome.end, outcome.value, outcome.text
        if (why := interruption(outcome)) is not None:
            # Its client is we, who did not ask for that: to the program it is a loss.
            end, value, text = End.CANCELLED, None, f"worker {where} was ended while it ran the job: {why}"
        self._runner.feed(Ended(program, Outcome(number, 1, end, value, text)))

    def _withdraw(self, program: Incarnation, ids: Sequence[int], reason: str) -> None:
        member = self._members.get(program)
        for number in ids:
            task = None if member is None else member.tasks.pop(number, None)
            if task is not None:
                assert member is not None
                if (where := task.worker) is not None:
                    member.ran_at.add(where)
                self._work.driver.cancel(task.number, reason, End.CANCELLED)


def _call(args: Payload) -> Payload:
    """What calls a JobFunction with these arguments, which stay as they are."""
    buffers: list[Any] = [args.data, *args.buffers] if args.buffers else []
    if not buffers:
        return Payload(pickle.dumps(((bytes(args.data),), {}), 5))
    pieces = tuple(pickle.PickleBuffer(buffer) for buffer in buffers)
    outside: list[Any] = []
    data = pickle.dumps((pieces, {}), 5, buffer_callback=lambda buffer: outside.append(buffer.raw()))
    return Payload(data, tuple(outside))


def start(network: Network, client: Client) -> PoolService:
    """The master of this process, which has a scheduler and a client of its own; any thread."""
    service = PoolService(network, client)
    network.reactor.wait(_started(service))
    return service


async def _started(service: PoolService) -> None:
    service.start()
