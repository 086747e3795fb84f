"""What every simulated server does: run tasks that only pass the time, as their arguments say."""

from __future__ import annotations

import enum
from typing import Any

from dispycos.model import End, Payload, Role, TaskSpec
from dispycos.node import attempts
from dispycos.node.execution import Execution
from dispycos.testing import Process


class Behaviour(enum.Enum):
    """What a task does; its arguments say which, and for how long."""

    RETURN = b"return"
    RAISE = b"raise"
    KILL = b"kill"  # ends its server's process
    CATCH = b"catch"  # returns a value when it is interrupted
    STUBBORN = b"stubborn"  # takes no notice of an interrupt, but yields
    STUCK = b"stuck"  # never yields


def payload(behaviour: Behaviour, seconds: float) -> Payload:
    return Payload(b"%s %f" % (behaviour.value, seconds))


def meaning(spec: TaskSpec) -> tuple[Behaviour, float]:
    word, seconds = bytes(spec.args.data).split()
    return Behaviour(word), float(seconds)


class ServerProcess(Process):
    """A server's process: the real `Execution`, and a kernel of a few lines."""

    roles = Role.SERVER
    execution: Execution

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.page = (0, 0)  # outlives the process
        self.holds: dict[int, TaskSpec] = {}  # tasks that run

    def run(self, execution: Execution) -> None:
        """Begin anew with this machine."""
        self.execution = execution
        self.machines = [execution]
        self.page = (0, 0)
        self.holds = {}

    def judge(self, spec: TaskSpec) -> None:
        """Whether this attempt may begin here now, as nobody in the cluster can know."""

    def perform(self, machine: Any, action: Any) -> None:
        match action:
            case attempts.Begin():
                # The page first, then the task.
                self.page = (self.execution.begun, self.execution.begun_io)
                self.begin(action.spec)
            case attempts.Interrupt():
                self.interrupt(action.id)
            case attempts.BreakOff():
                pass  # none of its tasks is a plain call
            case attempts.ForceEnd():
                spec = self.holds.get(action.id)
                if spec is not None and meaning(spec)[0] is not Behaviour.STUCK:
                    self.after(self.world.delay(), self.ended, spec, End.CANCELLED)
            case attempts.EndProcess():
                self.after(0.1, self.kill, f"exit code 75: {action.reason}")
            case _:
                super().perform(machine, action)

    def begin(self, spec: TaskSpec) -> None:
        self.judge(spec)
        self.holds[spec.id] = spec
        behaviour, seconds = meaning(spec)
        if behaviour is Behaviour.KILL:
            self.after(seconds, self.kill)
        elif behaviour is not Behaviour.STUCK:
            end = End.FAILED if behaviour is Behaviour.RAISE else End.FINISHED
            self.after(seconds, self.ended, spec, end)

    def interrupt(self, id: int) -> None:
        spec = self.holds.get(id)
        if spec is None:
            return
        behaviour = meaning(spec)[0]
        if behaviour is Behaviour.CATCH:
            self.after(self.world.delay(), self.ended, spec, End.FINISHED)
        elif behaviour in (Behaviour.RETURN, Behaviour.RAISE):
            self.after(self.world.delay(), self.ended, spec, End.CANCELLED)

    def ended(self, spec: TaskSpec, end: End) -> None:
        if self.holds.get(spec.id) is spec:
            del self.holds[spec.id]
            value = Payload(b"exception" if end is End.FAILED else b"value")
            text = "" if end is End.FINISHED else "Traceback (most recent call last): ..."
            ran = meaning(spec)[1]
            self.act(self.execution, self.execution.ended, spec.id, spec.attempt, end, value, text, ran)
            if self.execution.unsent:
                self.after(0.0005, self.flush)

    def flush(self) -> None:
        self._carry_out(self.execution, self.execution.flush())
