"""Why is nothing running? Each cause is one function of the situation; the most specific stands first.

A cause says what holds, with the evidence and one thing to do. `CAUSES` is their order: what
blocks everything and can be mended at one place goes before what blocks a part, and what is a
matter of waiting comes last. A shared scheduler has causes of its own: `why_lent`.

Pure. Layer 2. Rows MO-24, MO-25; rule S6.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.httpd import causes, why_lent
from dispycos.httpd.causes import MAX_LINES, Cause, ago, more, places, some
from dispycos.httpd.situation import Place, Situation
from dispycos.wording import many

QUIET = 10.0  # seconds without a task that begins, while some wait (MO-24)


def found(now: Situation) -> list[Cause]:
    """Every cause that holds, the most specific first; [] if something runs as it should."""
    tests = why_lent.CAUSES if now.elsewhere else CAUSES
    return [cause for test in tests if (cause := test(now)) is not None]


def text(now: Situation) -> str:
    """The same for a terminal."""
    said = causes.text(found(now))
    if not now.elsewhere:
        return said or "nothing keeps tasks from running"
    return f"{said or 'no client waits'}\n{now.elsewhere}"


# The causes.


def poisonous(now: Situation) -> Cause | None:
    """A task killed so many servers that it is tried no more."""
    if not now.poisonous:
        return None
    return Cause(
        "poisonous",
        "a task was declared poisonous",
        some(now.poisonous),
        "look at what it does to its process: memory, native code, os._exit; "
        "client.options(max_worker_deaths=...) sets how many servers it may end",
    )


def resources(now: Situation) -> Cause | None:
    """A node can't start servers or store files."""
    if not now.resources:
        return None
    return Cause(
        "resources",
        "a node lacks resources",
        some(now.resources),
        "free them there; it is tried again by itself",
    )


def refused(now: Situation) -> Cause | None:
    """A peer was refused for what it is."""
    if not now.refused:
        return None
    return Cause(
        "refused",
        "a peer was refused",
        some(now.refused),
        "install the same release, and a Python of the same minor version, on both sides",
    )


def scheduler_lost(now: Situation) -> Cause | None:
    """The scheduler does not answer."""
    if not now.scheduler_lost:
        return None
    return Cause(
        "scheduler",
        "the scheduler can't be reached",
        [now.scheduler_lost],
        "look whether it runs; when it is back, this client's turn goes on",
    )


def behind_another(now: Situation) -> Cause | None:
    """Another client has the cluster."""
    if now.state != "queued":
        return None
    evidence = [
        f"place {now.place} in the queue: {now.queue_reason}" if now.place else "the scheduler was asked"
    ]
    if now.holder:
        evidence.append(now.holder)
    return Cause(
        "queued",
        "waiting behind another client",
        evidence,
        "wait for it to close, or ask whoever runs it; one client has a cluster at a time",
    )


def setup(now: Situation) -> Cause | None:
    """node_setup or server_setup runs, or has failed."""
    failed = [place for place in (*now.nodes, *now.servers) if place.state == "failed"]
    if failed:
        return Cause(
            "setup failed",
            "a setup has failed",
            places(failed, now),
            "mend it, then client.enable_node(address) or client.enable_server(location) starts it again",
        )
    running = [place for place in now.nodes if place.state in ("preparing", "restarting")]
    running += [place for place in now.servers if place.state == "setting up"]
    if not running or now.busy or now.idle:
        return None
    return Cause(
        "setup",
        "nodes are being prepared",
        places(running, now),
        "wait; a setup that never ends is the program's own",
    )


def disabled(now: Situation) -> Cause | None:
    """The program wants to enable nodes or servers itself, and has not."""
    waiting = [
        place
        for place in (*now.nodes, *now.servers)
        if place.state == "discovered" and "enable_" in place.why
    ]
    if not waiting:
        return None
    return Cause(
        "disabled",
        "nodes or servers wait to be enabled",
        places(waiting, now),
        "client.enable_node(address) and client.enable_server(location) do that",
    )


def silent(now: Situation) -> Cause | None:
    """Nodes are not heard."""
    return causes.silent(now, _kept, "client.abandon_zombie(address, True) gives it up")


def _kept(node: Place) -> str:
    return f"; {'it is given up with its tasks' if node.abandon else 'its tasks are kept until it is back'}"


def suspended(now: Situation) -> Cause | None:
    """Somebody suspended nodes or servers, or they are outside their hours."""
    found = [place for place in (*now.nodes, *now.servers) if place.state == "suspended"]
    if not found or now.busy or now.idle:
        return None
    return Cause(
        "suspended",
        "nodes or servers are suspended",
        places(found, now),
        "resume them here or by client.resume_node(address); hours of service end by themselves",
    )


def none_known(now: Situation) -> Cause | None:
    """No node was ever heard of."""
    if now.state != "scheduled" or now.nodes or now.ignored:
        return None
    evidence = some(now.unreached)
    if now.announced:
        evidence.append(f"beacons were sent to {', '.join(now.announced)}")
    else:
        evidence.append("no beacon was sent: discovery by UDP is off")
    if now.listening:
        evidence.append(f"this process listens at {now.listening}")
    if now.fingerprint:
        evidence.append(f"fingerprint of the key: {now.fingerprint}")
    evidence += some(now.wrong_key)
    return Cause(
        "no node",
        "no node is known",
        evidence,
        "start dispycosnode with the same key; name it by nodes=['host'] where broadcasts do not reach",
    )


def none_accepted(now: Situation) -> Cause | None:
    """Nodes are there, and no rule took them."""
    if now.state != "scheduled" or now.nodes or not now.ignored:
        return None
    evidence = [f"{ignored.name}: {ignored.reason}" for ignored in now.ignored[:MAX_LINES]]
    return Cause(
        "no node accepted",
        "nodes are known, and none was accepted",
        evidence + more(now.ignored),
        "ask for less in DispycosNodeAllocate, or add a rule by client.node_allocate(...)",
    )


def blocked_program(now: Situation) -> Cause | None:
    """A task of the program itself does not yield."""
    if not now.blocked_task:
        return None
    return Cause(
        "blocked",
        "a task of the program does not yield",
        [now.blocked_task],
        "yield now and then, or move what takes long to a server or to AsyncThreadPool",
    )


def no_task(now: Situation) -> Cause | None:
    """Nothing was asked for."""
    if now.state != "scheduled" or now.waiting or now.running:
        return None
    since = (
        f"the client was scheduled {ago(now.scheduled, now)}" if now.scheduled else "the client is scheduled"
    )
    if now.submitted:
        all_tasks = f"all {now.submitted:,} tasks that it submitted have"
        evidence = [f"{since}; {all_tasks if now.submitted > 1 else 'its only task has'} ended"]
    else:
        evidence = [f"{since}, and has submitted no task"]
    return Cause(
        "no task", "no task was submitted", evidence, "yield client.rtask(function, ...) submits one"
    )


def all_busy(now: Situation) -> Cause | None:
    """Every server has its work."""
    if not now.waiting or not now.busy or now.idle:
        return None
    wait = many(now.waiting, "task waits", "tasks wait")
    busy = many(now.busy, "server is busy", "servers are busy")
    evidence = [f"{wait}; {busy}, none is idle"]
    if now.longest:
        evidence.append(f"the longest running task: {now.longest}, begun {ago(now.longest_since, now)}")
    if now.mean is not None:
        takes, free = f"some {now.mean:.3g} s", f"{now.mean / now.busy:.3g} s"
        known = f"{now.mean_ended:,} that ended"
        if now.mean_running:
            takes, known = (
                f"at least {now.mean:.3g} s",
                f"{known} and {now.mean_running:,} that run for longer",
            )
            free = f"{free} or more"
        evidence.append(f"a task takes {takes} by the latest of {known}: a server is free every {free}")
    return Cause("busy", "all servers are busy", evidence, "wait, or start more nodes")


def not_scheduled(now: Situation) -> Cause | None:
    """The client has not asked for its turn, or has ended it."""
    if now.state not in ("not scheduled", "closing", "closed"):
        return None
    advice = "yield client.schedule() asks for a turn"
    return Cause(
        now.state,
        f"the client is {now.state}",
        [f"{many(now.submitted, 'task was', 'tasks were')} submitted, {now.done:,} ended"],
        advice,
    )


CAUSES: tuple[Callable[[Situation], Cause | None], ...] = (
    blocked_program,
    not_scheduled,
    scheduler_lost,
    behind_another,
    refused,
    none_known,
    none_accepted,
    poisonous,
    resources,
    setup,
    disabled,
    silent,
    suspended,
    all_busy,
    no_task,
)
