"""`dispycos health`: whether a node or a scheduler answers and proves the key.

What waits for connections alone may be a loop that stands still; this one takes a whole greeting.

Layer 8.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from dispycos import commandline, config, keyfile
from dispycos.commandline import Parser
from dispycos.errors import DispycosError
from dispycos.events import DialFailed, PeerEvent, PeerUp
from dispycos.model import Location, Role
from dispycos.net import addresses
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.tls import CertificateFiles, Tls

WITHIN = 5.0  # seconds


def main(argv: Sequence[str]) -> int:
    """Ask one; answers the exit code."""
    parser = Parser(
        prog="dispycos health",
        about="Ask a node or a scheduler whether it lives: whether it answers and has our key.",
        examples=(
            ("dispycos health", "the node of this machine"),
            ("dispycos health head.example:9705", "a scheduler elsewhere"),
            ("dispycos health -p 9705 --wait 2 || restart", "in a script"),
        ),
        files=keyfile.TOLD,
        statuses={
            0: "it answers and has the key",
            1: "it does not, and a sentence says why",
            2: "wrong usage",
        },
    )
    parser.add_argument("where", nargs="?", type=commandline.place, default=(None, None),
        metavar="HOST[:PORT]",
        help="where it listens, or at which port of this machine (default: this machine)")  # fmt: skip
    parser.add_argument("-p", "--port", type=commandline.some_port, default=config.DispycosNodePort,
        metavar="N", help=f"port, if it is not named (default: {config.DispycosNodePort}, a node's; "
        f"{config.DispycosSchedulerPort} is a scheduler's)")  # fmt: skip
    parser.add_argument("--wait", type=commandline.some_time, default=WITHIN, metavar="SEC",
        help=f"time for the answer (default: {WITHIN:g})")  # fmt: skip
    parser.key_options()
    options = parser.parse_args(commandline.normal(argv))

    # What the endpoint would warn of is our answer.
    logging.getLogger("dispycos").addHandler(logging.NullHandler())

    def run() -> int:
        host, port = options.where
        # Here it may listen at what others reach, or at loopback alone.
        hosts = [host] if host else [addresses.default_address(), addresses.LOOPBACK]
        where = Location(hosts[0], port or options.port, hosts[1:])
        try:
            # What was never there proves nothing to anybody: a question leaves no key behind.
            keys = parser.key_source(options, where.addresses).present()
        except FileNotFoundError as exc:
            raise DispycosError(
                f"{exc.filename} does not exist: there is no key to ask with; name the file of the cluster's "
                "by --secret_file, or copy it there"
            ) from None
        found = asyncio.run(_ask(where, keys, commandline.certificates(options), options.wait))
        print(f"{found.name} at {where if host else found.location} answers")
        return 0

    return commandline.carry_out("dispycos health", run)


async def _ask(where: Location, keys: Keyring, files: CertificateFiles | None, within: float) -> PeerUp:
    limits = config.limits()
    endpoint = Endpoint(
        Reactor.running(),
        roles=Role.PEER,
        keyring=keys,
        limits=limits,
        name="health",
        tls=Tls(files) if files else None,
    )
    answer: asyncio.Future[PeerUp] = asyncio.get_running_loop().create_future()

    def heard(event: PeerEvent | DialFailed) -> None:
        if answer.done():
            return
        if isinstance(event, PeerUp):
            answer.set_result(event)
        elif isinstance(event, DialFailed):
            answer.set_exception(DispycosError(event.reason))

    endpoint.watch(heard)
    try:
        endpoint.dial(where, once=True)
        async with asyncio.timeout(within):
            return await answer
    except TimeoutError:
        raise DispycosError(f"{where} did not answer in {within:g} s") from None
    finally:
        await endpoint.close()
