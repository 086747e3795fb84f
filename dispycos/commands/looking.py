"""`dispycos top`, `status` and `why`: how a cluster is, from its monitor.

Layer 8. Rows MO-16, MO-24.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.httpd import asking
from dispycos.httpd.asking import Link
from dispycos.terminal import choosing, status, top
from dispycos.usage import Pairs

_STATUSES = {0: "it was told", 1: "no monitor was found, or it did not answer", 2: "wrong usage"}
_NEEDS = (
    "What answers is the monitor of a program (`HTTPServer(client)`) or of a scheduler (`dispycos --http`)."
)
_MONITORS = ("$TMPDIR/dispycos-<uid>/monitors", "how the monitors of this account are found")


def _parser(name: str, about: str, examples: Pairs) -> Parser:
    parser = Parser(
        prog=f"dispycos {name}",
        about=f"{about}\n\n{_NEEDS}",
        examples=examples,
        files=(*commandline.MONITOR, _MONITORS),
        statuses=_STATUSES,
    )
    parser.add_argument("link", nargs="?", metavar="LINK", help="of the monitor that is meant; see below")
    return parser


def _where(text: str | None) -> Callable[[], Link]:
    """What answers the monitor that is meant."""
    if text == "-":
        link = choosing.chosen(text)  # read once
        return lambda: link
    return lambda: choosing.chosen(text)


def show_top(argv: Sequence[str]) -> int:
    """Show a cluster live in this terminal."""
    parser = _parser(
        "top",
        "Show a cluster live in this terminal: nodes, servers, tasks and events, sorted and filtered by "
        "keys; ? lists them, q ends. It draws with the package rich: pip install 'dispycos[top]'.",
        (
            ("dispycos top", "the cluster of your running program or scheduler"),
            ("dispycos top 8181", "where several run: the one whose monitor has this port"),
            ("dispycos top 'http://head:8181/#token=...'", "that of another machine"),
        ),
    )
    options = parser.parse_args(commandline.normal(argv))

    def run() -> int:
        print(top.run(_where(options.link)))
        return 0

    return commandline.carry_out(parser.prog, run)


def show_status(argv: Sequence[str]) -> int:
    """Print once how a cluster is."""
    parser = _parser(
        "status",
        "Print once how a cluster is: its nodes, servers and tasks.",
        (
            ("dispycos status", "the cluster of your running program or scheduler"),
            ("dispycos status 8181 --json", "for programs"),
            ("dispycos status - < link.txt", "the monitor of the link in a file"),
        ),
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(commandline.normal(argv))

    def run() -> int:
        link = _where(options.link)()
        print(status.as_json(link) if options.json else status.text(link))
        return 0

    return commandline.carry_out(parser.prog, run)


def why(argv: Sequence[str]) -> int:
    """Say why nothing runs."""
    parser = _parser(
        "why",
        "Say in words why nothing runs, or that all is well: who waits, for what, and what would help.",
        (("dispycos why", "for your running program or scheduler"), ("dispycos why 8182", "for that one")),
    )
    options = parser.parse_args(commandline.normal(argv))

    def run() -> int:
        print(asking.get(_where(options.link)(), "/api/v1/why")["text"])
        return 0

    return commandline.carry_out(parser.prog, run)
