"""Connections: two ends that use each other's objects.

Both ends are alike. Each has a root that the other one may use; whatever is reached from there
is by value or by reference, as `values` says, and may be used as the sharing end's tables say
(`access`). Calls are done in lanes, or by the thread that waits for the other end. References
are counted and dropped; the loss of the other end fails every call that waits, and lets all go.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from dispycos.errors import (
    Closed,
    LoadError,
    LocalProtocolError,
    PeerLost,
    RemoteProtocolError,
    TaskCancelled,
    Timeout,
)
from dispycos.kernel import operation
from dispycos.model import Buffer
from dispycos.net.link import FAREWELL, Link
from dispycos.net.proof import Meeting
from dispycos.net.resting import Resting
from dispycos.net.stream import Stream
from dispycos.net.waiting import Waiting
from dispycos.objects import failure, lanes, requests, stopping, wire
from dispycos.objects.jobs import Beginning, Here, Job
from dispycos.objects.object_table import ObjectTable
from dispycos.objects.pending_call import PendingCall
from dispycos.objects.question import Question
from dispycos.objects.talks import Talk, Talks
from dispycos.objects.terms import Terms, no_class
from dispycos.objects.values import Codec
from dispycos.wording import shown

log = logging.getLogger("dispycos")

R = TypeVar("R", bound=PendingCall)


class Connection:
    """One end. Every method may be called by any thread.

    name  of the other end, for texts.
    root  what the other end may use from the start.
    main  takes a function for the main thread to call, if there is one that would.
    lost  called once when the other end is gone, with why.
    begin called with the connection in lane 0, before all that the other end asks of that lane.
    limit seconds for each answer that a thread waits for; None: as long as it takes.
    resting  watches the connection while nothing happens; then it has no threads.
    """

    def __init__(
        self,
        stream: Stream,
        meeting: Meeting,
        *,
        name: str,
        root: Any,
        terms: Terms,
        first: bool,
        main: Callable[[Callable[[], None]], None] | None = None,
        lost: Callable[[str], None] = lambda reason: None,
        begin: Callable[[Connection], None] | None = None,
        limit: float | None = None,
        resting: Resting | None = None,
    ) -> None:
        self.name = name
        self.terms = terms
        self.limit = limit
        self.closed = False
        self._table = ObjectTable(self, root, terms)
        self._codec = Codec(self._table, terms.find_class is not no_class, terms.data_travels)
        self._talks = Talks()
        self.here = Here()
        self._conversations = itertools.count(1 if first else 2, 2)
        self._calls = itertools.count(1)
        self._pending: dict[int, PendingCall | Question] = {}
        self._forsaken: set[int] = set()  # calls that were cancelled, and not answered yet
        self._jobs: dict[int, Job] = {}  # what the other end asked and was not answered yet
        self._lost = lost
        # What is said to whoever uses it afterwards.
        self._ending: tuple[type[Exception], str] = Closed, f"the connection with {name} is closed"
        self._refusal: BaseException | None = None  # why the other end could not begin
        self.link = Link(stream, meeting, self._deliver, self._send_drops, self._end)
        self.lanes = lanes.Lanes(self.link, name, main, resting is not None)
        self.link.disowned = self._disown
        self.started = threading.Event()  # the link is on
        if begin is not None:
            # Before the link is, or what the other end asks could be done first.
            self.lanes.put(0, Beginning(self, begin))
        try:
            self.link.start(f"dispycos connection, {name}", resting)
        finally:
            self.started.set()

    def __repr__(self) -> str:
        return f"<Connection with {self.name}{', closed' if self.closed else ''}>"

    # Asking.

    @property
    def root(self) -> Any:
        """A proxy of what the other end shares from the start."""
        return self.get(0, "root")

    def get(self, number: int, name: str) -> Any:
        """An attribute of an object of the other end."""
        return self._call(requests.GET, number, name, (), {})

    def set(self, number: int, name: str, value: Any) -> None:
        """Change one."""
        self._call(requests.SET, number, name, (value,), {})

    def delete(self, number: int, name: str) -> None:
        """Delete one."""
        self._call(requests.DELETE, number, name, (), {})

    def method(self, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call one; `__call__` is the object itself."""
        return self._call(requests.METHOD, number, name, args, kwargs)

    def _call(self, what: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        code = stopping.running.get(threading.get_ident())
        if code is None:
            return self._ask(what, number, name, args, kwargs)
        return code.shelter(self._ask, what, number, name, args, kwargs)

    def _ask(self, what: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if threading.get_ident() in operation.kernel_threads:
            raise RuntimeError(
                f"a task can't wait for {self.name} like this, for all tasks would wait with it: "
                "make the call asynchronous, and yield or await that"
            )
        # This thread is ready for what the other end may ask before the question is out.
        conversation = self.here.conversation or next(self._conversations)
        talk = self._talks.enter(conversation)
        question = Question(next(self._calls), conversation, talk.waiting)
        try:
            self._put(question, what, number, name, args, kwargs, self.terms.lane, self.link.send)
            if self.limit is None:
                return question.answer() if self._await(question, talk, None) else self._late_answer(question)
            return self._answer_in(self.limit, question, talk)
        except (KeyboardInterrupt, TaskCancelled):
            self.cancel(question)  # nobody waits for it any more
            raise
        finally:
            self._hand_over(talk)

    def _answer_in(self, limit: float, question: Question, talk: Talk) -> Any:
        began = time.monotonic()
        if not self._await(question, talk, limit) and time.monotonic() - began >= limit:
            self.cancel(question, self.expired(limit))
        return self._late_answer(question)

    def _late_answer(self, question: Question) -> Any:
        # When nothing more is read. In a forked child nobody gives it.
        if not question.answered and (error := self.abroad()) is not None:
            raise error
        return question.wait()

    def expired(self, limit: float) -> Exception:
        """What a call raises that was not answered in `limit` seconds."""
        return Timeout(f"no answer in {limit:g} s; {self.name} was told to stop")

    def _begin(
        self,
        what: int,
        number: int,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        lane: int | None = None,
        post: bool = False,
        kind: type[R] = PendingCall,  # type: ignore[assignment]  # mypy has no defaults of type variables
    ) -> R:
        """Ask, and do not wait. DumpError, Closed or PeerLost if it can't be asked.

        LocalProtocolError if as many calls as the other end takes wait for their answers.
        post  it is short, and goes out even while too much is on its way.
        """
        conversation = self.here.conversation or next(self._conversations)
        pending = kind(next(self._calls), conversation, self)
        lane = self.terms.lane if lane is None else lane
        self._put(pending, what, number, name, args, kwargs, lane, self.link.post if post else self.link.send)
        return pending

    def _put(
        self,
        pending: PendingCall | Question,
        what: int,
        number: int,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        lane: int,
        send: Callable[[bytes, tuple[bytes]], None],
    ) -> None:
        if self.closed:
            raise self._gone()
        if self._table.drops:
            # In a lively exchange nobody waits long enough to see that there are some.
            self._send_drops()
        if len(self._pending) + len(self._forsaken) >= wire.MOST_ASKED:
            raise LocalProtocolError(
                f"{wire.MOST_ASKED} calls of {self.name} wait for their answers already: "
                "wait for some of them first"
            )
        data = self._codec.pack_request(what, number, name, args, kwargs)
        call = pending.number
        self._pending[call] = pending
        try:
            send(wire.pack(wire.CALL, call, pending.conversation, lane), (data,))
        except BaseException:
            self._pending.pop(call, None)
            raise

    begin = stopping.shelters(_begin)  # for others, who may be code that can be stopped

    def take(self, number: int, most: int) -> tuple[list[Any], bool, BaseException | None]:
        """The next items of an iterator of the other end: they, whether it has ended, and by what error."""
        items, ended, error = self._call(requests.TAKE, number, "__next__", (most,), {})
        return items, ended, failure.rebuild(error, self.terms.find_error) if error else None

    def cancel(self, pending: PendingCall | Question, error: Exception | None = None) -> None:
        """Nobody waits for it any more: the other end stops it if it can.

        error  what waiting for it raises; a TaskCancelled if not given.
        """
        # Before it stops pending, or its answer could come between.
        self._forsaken.add(pending.number)
        if self._pending.pop(pending.number, None) is None:
            self._forsaken.discard(pending.number)
        else:
            pending.fail(error or TaskCancelled("the call was cancelled"))
            try:
                stopping.sheltered(self.link.post, wire.pack(wire.CANCEL, pending.number))
            except PeerLost:
                pass  # it is stopped

    def serve_until(self, waiting: Waiting, over: Callable[[], bool], timeout: float | None) -> None:
        """Do in this thread what the other end asks of lane 0, until `over()` or `timeout` seconds.

        waiting  to be woken when `over` may have changed.
        """
        stopping.sheltered(self._serve_until, waiting, over, timeout)

    def _serve_until(self, waiting: Waiting, over: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        worker = lanes.Worker(waiting)

        def ready() -> bool:
            return bool(worker.jobs) or over() or code.due

        code = stopping.enter_wait(waiting)
        self.lanes.lend(worker)
        try:
            while not (over() or self.closed or code.due):
                rest = None if deadline is None else max(deadline - time.monotonic(), 0)
                if not self.link.wait(waiting, ready, rest):
                    return
                while worker.jobs:
                    worker.do()
        finally:
            self.lanes.give_back(worker)

    def await_answer(self, pending: PendingCall, timeout: float | None) -> bool:
        """Wait for it in a plain thread, at most so many seconds; whether it is done."""
        return stopping.sheltered(self._wait_for, pending, timeout)

    def _wait_for(self, pending: PendingCall, timeout: float | None) -> bool:
        # In a plain thread: do what the other end asks in this conversation, until it answers.
        talk = self._talks.enter(pending.conversation)
        # Not `pending.waiting`, for several may wait.
        pending.add_done_callback(lambda _: talk.waiting.wake())
        try:
            return self._await(pending, talk, timeout)
        finally:
            self._hand_over(talk)

    def _await(self, pending: PendingCall | Question, talk: Talk, timeout: float | None) -> bool:
        # With a talk of this thread's; whether it is done. TaskCancelled if whose code waits was stopped.
        jobs = talk.jobs
        code = stopping.enter_wait(talk.waiting)

        def ready() -> bool:
            return pending.answered or bool(jobs) or code.due

        deadline = None if timeout is None else time.monotonic() + timeout
        while not pending.answered:
            rest = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not self.link.wait(talk.waiting, ready, rest):
                return pending.answered
            if code.due and not pending.answered:
                raise TaskCancelled("it was cancelled while it waited")
            while jobs:
                job = jobs.popleft()
                job.run()
                if job.interrupt is not None:
                    raise job.interrupt  # Ctrl-C is for all that this thread does, not for a callback alone
        return True

    def _hand_over(self, talk: Talk) -> None:
        for job in self._talks.leave(talk):
            self.lanes.put(0, job)

    def _gone(self) -> Exception:
        kind, text = self._ending
        error = kind(text)
        error.__cause__ = self._refusal if kind is PeerLost else None
        return error

    def pack(self, value: Any) -> bytes:
        """The bytes of a value for the other end, which takes them by `unpack`. DumpError."""
        return self._codec.pack(value)

    def unpack(self, data: Buffer) -> Any:
        """The value in bytes that the other end packed. LoadError."""
        return self._codec.unpack(data)

    def dropped(self, number: int, count: int) -> None:
        """Nobody holds a proxy any more. For finalizers: it takes no lock."""
        if not self.closed:
            self._table.drops.append((number, count))
            self.link.stir()

    def _send_drops(self) -> None:
        told = self._table.dropped()
        if told:
            try:
                self.link.post(wire.pack(wire.DROP), (told,))
            except PeerLost:
                pass  # it let them go

    # Answering.

    def _deliver(self, data: Buffer, tail: Buffer) -> None:
        kind, call, conversation, lane = wire.read(data)
        if kind == wire.CALL:
            self._asked(call, conversation, lane, tail)
        elif kind <= wire.ERROR:
            self._answered(kind, call, tail)
        elif kind == wire.DROP:
            self._table.let_go(tail)
        elif kind == wire.REFUSED:
            self._refused(tail)
        else:
            job = self._jobs.get(call)
            if job is not None:
                self.lanes.cancel(job)

    def _asked(self, call: int, conversation: int, lane: int, tail: Buffer) -> None:
        jobs = self._jobs
        if call in jobs:
            raise RemoteProtocolError(f"call {call} was asked twice")
        if len(jobs) >= wire.MOST_CALLS:
            raise RemoteProtocolError(f"more than {wire.MOST_CALLS} calls that wait for their answers")
        job = jobs[call] = Job(self, call, conversation)
        try:
            what, number, name, args, kwargs = request = self._codec.unpack_inside(tail)
            if tuple(map(type, request)) != requests.FORM:
                raise LoadError("a request of another form than this end knows")
            target = self._table.object(number) if number else self
        except (LoadError, ValueError, TypeError) as exc:
            job.fail(exc if isinstance(exc, LoadError) else LoadError(str(exc)), post=True)
            return
        if lane == wire.FRESH and target is self:
            # A sign of life: it needs no thread, and waits for none.
            try:
                self.answer(job, wire.RESULT, self._table.root, True, post=True)
            except Exception as exc:
                job.fail(exc, post=True)
            return
        job.request = what, target, name, args, kwargs
        if not self._talks.give(conversation, job):
            self.lanes.put(lane if self.terms.lanes else 0, job)

    def perform(
        self, what: int, target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, bool]:
        """Do what was asked: the answer, and whether it goes by reference."""
        if target is self:
            return self._table.root, True
        access = self.terms.access(target)
        if what == requests.METHOD:
            return access.method(target, name)(*args, **kwargs), False
        if what == requests.GET:
            return access.get(target, name), self.terms.containers_stay
        if what == requests.TAKE:
            return requests.taken(access.method(target, "__next__"), *args), False
        if what == requests.SET:
            access.set(target, name, *args)
        elif what == requests.DELETE:
            access.delete(target, name)
        else:
            raise LoadError(f"nothing is known that has number {what}")
        return None, False

    def answer(self, job: Job, kind: int, value: Any, refer: bool, *, post: bool = False) -> None:
        """Send an answer. DumpError if it can't be sent.

        post  it is short, and goes out without waiting, as a delivery must.
        """
        data = self._codec.pack(value, refer=refer)
        self._jobs.pop(job.call, None)
        try:
            (self.link.post if post else self.link.send)(wire.pack(kind, job.call, job.conversation), (data,))
        except PeerLost:
            pass  # nobody waits for it
        except LocalProtocolError:
            if not post:
                raise
            # Who asks ever more and reads no answer is not waited for.
            self.link.close("the peer does not read its answers", 0)

    def _answered(self, kind: int, call: int, tail: Buffer) -> None:
        pending = self._pending.pop(call, None)
        self._forsaken.discard(call)
        error: BaseException | None = None
        try:
            value = self._codec.unpack(tail)
            if pending is not None and kind != wire.RESULT:
                error = self._error(value)
        except LoadError as exc:
            error = exc
        except BaseException as broken:
            # It ends the link, but nobody else knows of this call any more.
            if pending is not None:
                told = f"its answer could not be read: {type(broken).__name__}"
                pending.fail(broken if isinstance(broken, RemoteProtocolError) else LoadError(told))
            raise
        if pending is None:
            return  # it was cancelled
        if error is None:
            pending.complete(value)
        else:
            pending.fail(error)

    def _refused(self, tail: Buffer) -> None:
        try:
            self._refusal = self._error(self._codec.unpack(tail))
        except LoadError as exc:
            raise RemoteProtocolError(f"a refusal: {exc}") from None

    def _error(self, described: Any) -> BaseException:
        try:
            return failure.rebuild(described, self.terms.find_error)
        except (TypeError, ValueError, RecursionError) as exc:
            raise RemoteProtocolError(f"an error of another form than this end knows: {exc}") from None

    @property
    def exported(self) -> int:
        """How many objects of this end the other one refers to, its root among them."""
        return len(self._table)

    # Ending.

    def close(self) -> None:
        """Close both ends; calls that wait fail. May be repeated."""
        self.part()

    def refuse(self, error: BaseException) -> None:
        """It could not begin: say why to the other end, and close."""
        try:
            described = self._codec.pack(failure.describe(error, brief=True))
            self.link.post(wire.pack(wire.REFUSED), (described,))
        except (PeerLost, LocalProtocolError):
            pass  # then it hears of the end alone
        finally:
            self.close()

    def part(self, patience: float = FAREWELL) -> None:
        """As `close`, within `patience` seconds for what was sent before."""
        if not self.closed:
            self.closed = True
            self.link.close("closed", patience)

    def _any_pending(self) -> PendingCall | Question | None:
        try:
            return self._pending.popitem()[1]
        except KeyError:
            return None

    def _end(self, reason: str) -> None:
        if not self.closed:
            if self._refusal is not None:
                told = type(self._refusal).__name__, shown(self._refusal, str)
                reason = f"its service could not begin: {': '.join(filter(None, told))}"
            self._ending = PeerLost, f"{self.name} is gone: {reason}"
            self.closed = True
        self.lanes.close()
        self._fail_all()
        self._table.clear()
        self._lost(reason)

    def _fail_all(self) -> None:
        error = self._gone()
        # Whoever asks or gives up just now takes his own out; nobody's is left.
        while (pending := self._any_pending()) is not None:
            pending.fail(error)

    def _disown(self, reason: str) -> None:
        # In a forked child: nothing of ours is undone, and nobody told, for all is the parent's.
        if not self.closed:
            self._ending = Closed, f"the connection with {self.name} is closed here: {reason}"
            self.closed = True
        self.lanes.disown()

    def abroad(self) -> Exception | None:
        """What calls raise in a forked child, where nobody answers; None: it is this process's own."""
        return self._gone() if self.link.elsewhere else None
