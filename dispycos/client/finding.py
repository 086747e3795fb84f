"""Which scheduler a client asks: one that it names, this process's, a shared one, a private one.

I/O half. Layer 5. Rows DC-16, DS-01.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from dispycos import config
from dispycos.configuration import settings
from dispycos.model import Incarnation, Location, Role
from dispycos.net.addresses import LOOPBACK
from dispycos.net.peer import Peer
from dispycos.runtime import Network
from dispycos.scheduler import scheduler
from dispycos.scheduler.service import SchedulerService

log = logging.getLogger("dispycos")

FOUND_WITHIN = 1.0  # seconds that a shared scheduler has to answer, before a private one is started


class Found(NamedTuple):
    """Who is asked for a turn."""

    scheduler: Incarnation
    location: Location | None = None  # where it is dialled again when it is lost; None: it is we
    announced: Location | None = None  # where it says it is, which may be another address


async def find_scheduler(network: Network, where: Location | str | None, *, private: bool) -> Found:
    """Who is asked for a turn; reactor thread.

    where    None: this process's own, else one that is set, else a shared one nearby, else a private
             one is started.
    private  True: there is one in this process, and no other is looked for.
    ValueError for a name that can't be resolved. Waits for ever for a scheduler that was named or set.
    """
    endpoint = network.endpoint
    own = network.services.get(SchedulerService)
    by = ""
    if where is None:
        if own is not None or private:
            return Found(endpoint.incarnation)
        told = settings.of_client().get("scheduler")
        if told is None:
            return await _shared_or_private(network)
        where, by = str(told.value), f" (set by {told.origin})"
    location = Location.parse(where, config.DispycosSchedulerPort)
    if own is not None and endpoint.location is not None and endpoint.location.includes(location):
        return Found(endpoint.incarnation)
    endpoint.dial(location)
    reminder = asyncio.get_running_loop().call_later(
        network.limits.first_word,
        log.warning,
        "no scheduler answers at %s%s yet; still trying: does `dispycos` run there with the same key? "
        "`dispycos doctor %s` looks for what keeps them apart",
        location,
        by,
        location,
    )
    try:
        peer = await network.peers.present(lambda peer: _is_scheduler(peer) and location in _places(peer))
    except asyncio.CancelledError:
        endpoint.stop_dialling(location)
        raise
    finally:
        reminder.cancel()
    return Found(peer.incarnation, location, peer.location)


async def _shared_or_private(network: Network) -> Found:
    shared = await _shared(network)
    if shared is not None:
        return Found(shared.incarnation, shared.dialled or shared.location, shared.location)
    log.info(
        "no shared scheduler answered in %g s at port %d of this host or by UDP: this program has its own",
        FOUND_WITHIN,
        config.DispycosSchedulerPort,
    )
    scheduler.start(network)
    return Found(network.endpoint.incarnation)


async def _shared(network: Network) -> Peer | None:
    """A scheduler that serves many programs, on this host or network."""
    # One that listens at a single address of this host is there, too.
    addresses = [LOOPBACK, *(location.addr for location in network.endpoint.listening)]
    here = {Location(address, config.DispycosSchedulerPort) for address in addresses}
    for location in here:
        network.endpoint.dial(location)
    network.search.want(Role.SCHEDULER)
    network.search.seek(Role.SCHEDULER)
    try:
        # A private scheduler's process is a client too, and serves nobody else.
        return await asyncio.wait_for(
            network.peers.present(lambda peer: _is_scheduler(peer) and Role.CLIENT not in peer.roles),
            FOUND_WITHIN,
        )
    except TimeoutError:
        return None
    finally:
        for location in here:
            network.endpoint.stop_dialling(location)
        network.search.unwant(Role.SCHEDULER)


def _is_scheduler(peer: Peer) -> bool:
    return Role.SCHEDULER in peer.roles


def _places(peer: Peer) -> tuple[Location | None, Location | None]:
    return peer.location, peer.dialled
