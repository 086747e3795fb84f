"""Why do clients wait? The causes of a shared scheduler, which lends servers and sees no tasks.

What keeps a client that has nodes is its own affair, and its own monitor says it (`why`).

Pure. Layer 2. Rows MO-24, MO-25; rules 4, S6.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.httpd import causes
from dispycos.httpd.causes import MAX_LINES, Cause, ago, lasting, more, some
from dispycos.httpd.situation import Place, Situation
from dispycos.wording import many


def stopping(now: Situation) -> Cause | None:
    """It takes no client any more."""
    if not now.stopping:
        return None
    advice = "when it has ended, start it again; who waited asks anew"
    return Cause("stopping", "the scheduler ends", [now.stopping], advice)


def unwritten(now: Situation) -> Cause | None:
    """Who waits can't be written down, so nobody new is taken."""
    if not now.journal:
        return None
    return Cause(
        "journal",
        "the scheduler can't write its journal",
        [now.journal, "no new client is taken; the running one goes on"],
        "free its disk, or mend what is said there; it is tried again by itself",
    )


def unheard(now: Situation) -> Cause | None:
    """Who has the cluster is silent."""
    holder = now.lent_to
    if holder is None or now.holder_unheard is None:
        return None
    return Cause(
        "holder silent",
        "the client that has the cluster is not heard",
        [f"{holder.who} was last heard {ago(now.holder_unheard, now)}"],
        "look at its machine and its network; if it stays silent it is given up by itself",
    )


def none_known(now: Situation) -> Cause | None:
    """No node was ever heard of."""
    if now.nodes:
        return None
    evidence = [*some(now.unreached), f"this scheduler listens at {now.listening}"]
    if now.fingerprint:
        evidence.append(f"fingerprint of the key: {now.fingerprint}")
    advice = (
        f"start dispycosnode with the same key; where broadcasts do not reach, with --peer {now.listening}"
    )
    return Cause("no node", "no node is known", evidence, advice)


def none_lent(now: Situation) -> Cause | None:
    """Nodes are here, and who has the cluster got none of them."""
    holder = now.lent_to
    if holder is None or not now.nodes or holder.nodes or holder.state != "scheduled" or not holder.why:
        return None
    return Cause(
        "no node lent",
        "the client that has the cluster has no node",
        [holder.who, *holder.why.split("; ")],
        "free or resume a node, or have that client ask for less in DispycosNodeAllocate",
    )


def silent(now: Situation) -> Cause | None:
    """Nodes are not heard."""
    advice = "client.abandon_zombie(address, True) in its program gives it up"
    return causes.silent(now, lambda node: _lease(node, now), advice)


def _lease(node: Place, now: Situation) -> str:
    if node.lease_end is None:
        return ""
    left = node.lease_end - now.now
    return f"; its lease ends in {left:.0f} s" if left > 0 else f"; its lease ended {-left:.0f} s ago"


def waiting(now: Situation) -> Cause | None:
    """Clients wait for their turn."""
    queue = [client for client in now.clients if client.state == "queued"]
    if not queue:
        return None
    evidence = []
    holder = now.lent_to
    if holder is not None:
        has = f"{many(holder.servers or 0, 'server')} on {many(holder.nodes or 0, 'node')}"
        evidence.append(f"{holder.who} has the cluster for {lasting(holder.since, now)}: {has}")
    for client in queue[:MAX_LINES]:
        line = f"place {client.place}: {client.who}, for {lasting(client.since, now)}"
        evidence.append(f"{line}{f': {client.why}' if client.why else ''}")
    return Cause(
        "waiting",
        f"{len(queue):,} clients wait for their turn" if len(queue) > 1 else "a client waits for its turn",
        evidence + more(queue),
        "wait for the one that has the cluster to close, or ask whoever runs it; "
        "one client has a cluster at a time",
        usual=True,
    )


def nobody(now: Situation) -> Cause | None:
    """Nobody asks for the cluster."""
    if now.clients or not now.nodes:
        return None
    free = sum(place.state == "discovered" for place in now.nodes)
    return Cause(
        "no client",
        "no client asks for the cluster",
        [f"{free:,} of {many(len(now.nodes), 'node is', 'nodes are')} free"],
        "yield client.schedule() in a program asks for it; where broadcasts do not reach, "
        f"client.schedule('{now.listening}')",
        usual=True,
    )


CAUSES: tuple[Callable[[Situation], Cause | None], ...] = (
    stopping,
    unwritten,
    unheard,
    none_known,
    none_lent,
    silent,
    waiting,
    nobody,
)
