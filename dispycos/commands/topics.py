"""The topics of `dispycos help`: pages of the documentation, laid out for a terminal.

The package has the pages beside its modules.

Layer 8.
"""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dispycos import config
from dispycos.commands import page_tables

# Each with its page, below docs/.
TOPICS: Final = {
    "keys": ("howto/keys.md", "who is believed: the key, fingerprints, TLS"),
    "network": ("howto/lan.md", "how nodes and programs find each other: ports, addresses, firewalls"),
    "settings": ("howto/settings.md", "options in files and variables"),
    "statuses": ("howto/scripts.md", "exit statuses, JSON and signals, for scripts"),
    "trouble": ("howto/trouble.md", "when it does not work"),
    "tuning": ("howto/tuning.md", "how many servers, how large tasks, when to give up"),
    "docker": ("howto/docker.md", "nodes in containers"),
    "cloud": ("howto/cloud.md", "nodes on machines that come and go"),
    "batch": ("howto/slurm.md", "nodes on a cluster that Slurm manages"),
    "pods": ("howto/kubernetes.md", "a scheduler and nodes on Kubernetes"),
    "engines": ("engines.md", "systemd, draining, health; more and fewer nodes"),
    "launching": ("launching.md", "nodes and gateways by ssh, in containers, through others"),
    "monitor": ("monitor.md", "the page in a browser, and `dispycos top`: how to open and read them"),
    "metrics": ("monitor-wire.md", "what the monitor tells programs: JSON, metrics, messages"),
    "security": ("security.md", "what is promised, and what is not"),
    "reliability": ("reliability.md", "what happens when something fails"),
}
# Where people may look for them.
ALSO: Final = {
    **dict.fromkeys(("key", "tls", "secret", "certificates", "fingerprint"), "keys"),
    **dict.fromkeys(("ports", "discovery", "lan", "udp", "firewall", "addresses"), "network"),
    **dict.fromkeys(("variables", "options", "environment"), "settings"),
    **dict.fromkeys(("exit", "status codes", "scripts", "signals", "json", "man", "manual"), "statuses"),
    **dict.fromkeys(("gateways", "via"), "launching"),
    **dict.fromkeys(("browser", "web", "page"), "monitor"),
    **dict.fromkeys(("servers", "processes", "chunks", "performance"), "tuning"),
    **dict.fromkeys(("nodes", "starting"), "launching"),
    **dict.fromkeys(("prometheus", "grafana"), "metrics"),
}
# Pages for who comes from another library, below docs/coming/. `easycluster` is a program of ours, too.
COMING: Final = {
    **{name: name for name in ("pycos", "execnet", "rpyc", "dask", "ray", "ipyparallel", "multiprocessing")},
    **dict.fromkeys(("dispy", "asyncoro"), "pycos"),
    **dict.fromkeys(("cluster-workers", "cluster_workers"), "cluster-workers"),
    **dict.fromkeys(("distributed", "dask.distributed"), "dask"),
}
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^( *)```[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_INDENT = "    "  # of code
# What a terminal is told before and behind a line.
_PLAIN: Final = ("", "")
_CODE: Final = ("\x1b[36m", "\x1b[0m")
_HEAD: Final = ("\x1b[1m", "\x1b[0m")
_ITEM = re.compile(r"\s*(?:[-*]|[0-9]+\.) ")


def topic(name: str, width: int, *, colour: bool = False) -> str:
    """The page of a topic or a library, its links as names of topics. OSError: the pages are not here.

    colour  code and headings have one.
    """
    page = TOPICS[name][0] if name in TOPICS else f"coming/{COMING[name]}.md"
    package = Path(config.__file__).parent
    # Installed they are in the package; in its sources beside it.
    places = [package / "docs" / page, package.parent / "docs" / page]
    path = next((place for place in places if place.exists()), places[0])
    return laid_out(path.read_text(encoding="utf-8"), posixpath.dirname(page), width, colour=colour)


def laid_out(page: str, folder: str, width: int, *, colour: bool = False) -> str:
    """A page that lies in a folder of the documentation, for a terminal."""
    text = re.sub(r"<!--.*?-->\n*|^!\[.*?\]\(\S+\)\n*", "", page, flags=re.DOTALL | re.MULTILINE)
    text = _LINK.sub(lambda link: _told(link, folder), text)
    return "\n\n".join(_blocks(text, width, _CODE if colour else _PLAIN, _HEAD if colour else _PLAIN))


def _told(link: re.Match[str], folder: str) -> str:
    text, target = link.groups()
    page = target.partition("#")[0]
    for name, (of_topic, _) in TOPICS.items():
        if page and posixpath.normpath(posixpath.join(folder, page)) == of_topic:
            return f"{text} (`dispycos help {name}`)"
    return text if "://" not in target else f"{text} ({target})"


def _blocks(text: str, width: int, code_in: tuple[str, str], head_in: tuple[str, str]) -> Iterator[str]:
    """Its blocks: paragraphs, lists and tables are filled; code is indented, and else left alone."""
    done = 0
    for code in [*_FENCED.finditer(text), None]:
        for block in text[done : code.start() if code else None].split("\n\n"):
            lines = block.strip("\n").splitlines()
            if lines and lines[0].startswith("|"):
                yield "\n".join(page_tables.laid_out(lines, width))
            elif lines:
                begin, end = head_in if lines[0].startswith("#") else _PLAIN
                yield "\n".join(f"{begin}{line}{end}" for line in _filled(lines, width))
        if code is not None:
            begin, end = code_in
            yield "\n".join(f"{_INDENT}{begin}{line}{end}" if line else "" for line in code[2].splitlines())
            done = code.end()


def _filled(lines: list[str], width: int) -> Iterator[str]:
    items: list[str] = []
    for line in lines:
        if items and not _ITEM.match(line):
            items[-1] += f" {line.strip()}"
        else:
            items.append(line)
    for item in items:
        mark = _ITEM.match(item)
        yield from _lines(item, width, " " * len(mark[0]) if mark else "")


def _lines(text: str, width: int, indent: str = "") -> list[str]:
    # What is typed stays in one piece.
    whole = textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return whole or [""]
