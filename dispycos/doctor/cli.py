"""The command line of the doctor: `dispycos doctor [HOST]`.

Layer 8.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from dispycos import commandline, keyfile
from dispycos.commandline import Parser
from dispycos.configuration import settings
from dispycos.configuration.names import BadConfiguration
from dispycos.doctor import dial, finding, key, machine, network
from dispycos.doctor.finding import Finding, Level, good, note, wrong
from dispycos.doctor.plan import Plan
from dispycos.net import addresses
from dispycos.net import interfaces as net
from dispycos.node import cli as node

WITHIN = 3.0  # seconds for each answer

_ABOUT = """\
Say why nodes, schedulers and programs do not find each other, and what to do. It looks at the key, the
interfaces, whether datagrams arrive, ports, names and limits of this machine, and asks by UDP who else is
there.

With HOST (or HOST:PORT) it also dials that machine: is somebody there, is it dispycos, of a version that
fits, with the same key; does UDP arrive too; do the clocks agree. Run it on both machines: a firewall may be
one-way. It starts nothing, makes no key and changes nothing. What is set for nodes (`dispycos config node`)
holds here, too.
"""


def make_parser() -> Parser:
    """The options of `dispycos doctor`."""
    parser = Parser(
        prog="dispycos doctor",
        usage="dispycos doctor [HOST[:PORT]] [options]",
        about=_ABOUT,
        examples=(
            ("dispycos doctor", "this machine, and who answers by UDP"),
            ("dispycos doctor node7.example", "a machine that should be met; run it there as well"),
            ("dispycos doctor 10.0.0.7:9706 --secret_file key --json", "for programs"),
        ),
        files=(*keyfile.TOLD, *commandline.SETTINGS),
        statuses={0: "nothing wrong was found", 1: "something is wrong", 2: "wrong usage"},
    )
    parser.add_argument("host", nargs="?", type=commandline.host_or_port, metavar="HOST[:PORT]",
        help="a machine that should be met (default port: those of node and scheduler)")  # fmt: skip
    parser.add_argument("--within", type=commandline.some_time, default=WITHIN, metavar="SEC",
        help=f"time for each answer (default: {WITHIN:g})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.listening_options()
    parser.key_options()
    return parser


def main(argv: Sequence[str]) -> int:
    """Look, and print what was found; answers the exit code."""
    parser = make_parser()
    arguments = commandline.normal(argv)
    options = parser.parse_args(arguments)

    def run() -> int:
        findings = examine(arguments)
        print(
            json.dumps(finding.as_values(findings), indent=1) if options.json else finding.as_text(findings)
        )
        return int(any(one.level is Level.WRONG for one in findings))

    return commandline.carry_out("dispycos doctor", run)


def examine(arguments: Sequence[str]) -> list[Finding]:
    """All findings, for these arguments and what is set for nodes. What is set wrong is one of them."""
    try:
        return look(of_nodes(arguments))
    except BadConfiguration as exc:
        bad = wrong("settings", str(exc), "mend it; `dispycos config --check FILE` lists all that is wrong")
        found = look(make_parser().parse_args(arguments))
        return [bad, *(one for one in found if one.found != bad.found)]  # the key may be set there, too


def of_nodes(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of these arguments, with what is set for nodes. BadConfiguration."""
    parser = make_parser()
    found = settings.settings("node", node.make_parser().settings())
    mine = [one for name, one in found.items() if name in parser.settings()]
    return parser.parse_args(parser.as_arguments(mine, arguments))


def look(options: argparse.Namespace) -> list[Finding]:
    """All findings, for the options of `make_parser`. ValueError for a certificate that is no good."""
    keyring, of_key = key.look(options.secret, options.secret_file)
    hosts, of_hosts = _hosts(options.hosts)
    host, port = options.host or ("", None)
    plan = Plan(
        hosts=hosts,
        udp_port=options.udp_port,
        multicast=options.ipv4_udp_multicast,
        keyring=keyring,
        certificates=commandline.certificates(options),
        within=options.within,
        name=host,
        addresses=tuple(machine.addresses_of(host)) if host else (),
        port=port,
    )
    used, of_interfaces = network.interfaces(plan)
    findings = [machine.versions(), *of_key, *machine.names(plan), *of_hosts, *of_interfaces]
    findings += machine.limits()
    findings += machine.ports()
    heard = network.Heard()
    here = {one.address for one in net.interfaces()}
    if not plan.udp_port:
        findings.append(note("udp", "it is switched off (--udp_port 0): others are met by name only"))
    elif keyring is not None:
        heard = network.ask(plan, [*used, *network.loopback(used)])
        findings += network.to_ourselves(plan, used, heard)
        findings += network.from_others(plan, heard, here)
    places = [(address, number) for address in plan.addresses for number in plan.ports]
    dialled = dial.findings(plan, dial.dial(plan, places)) if places else []
    findings += dialled
    if plan.udp_port and keyring is not None:
        reached = any(one.level is Level.GOOD for one in dialled)
        findings += network.from_the_one(plan, heard, reached, here)
    return findings


def _hosts(given: Sequence[str]) -> tuple[tuple[str, ...], list[Finding]]:
    try:
        found = tuple(addresses.bind_addresses(given))
    except (OSError, ValueError) as exc:
        text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        return (), [wrong("network", text, "give --ip_addr an address of this machine")]
    return found, [good("network", f"processes here listen at {', '.join(found)}")]
