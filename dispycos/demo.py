"""A census of Python's own library, counted on every CPU: `make demo`, or `python -m dispycos.demo`.

Starts a small cluster on this machine, prints where to watch it in a browser, hands each
server batches of the library's source files, adds up what the tasks report by message while
they run, and counts everything once more without the cluster: exit status 0 only if both
counts agree.

The first half of this file counts and knows nothing of clusters. It is what the servers
get: plain functions and a class, shipped as components.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.demo"))

import ast
import os
import platform
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dispycos
from dispycos.client.bar import Bar
from dispycos.httpd import HTTPServer, listening
from dispycos.node.processors import processors, server_count
from dispycos.usage import Described
from dispycos.wording import many

# Counting.


@dataclass
class Figures:
    """What was counted in some files. Adding up in any order gives the same."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    modules: Counter[str] = field(default_factory=Counter)  # name -> files that import it
    longest: tuple[int, str, str] = (0, "", "")  # lines, function, file
    not_python: int = 0  # files that this Python can't parse: only their lines count

    def add(self, other: Figures) -> None:
        self.files += other.files
        self.lines += other.lines
        self.functions += other.functions
        self.classes += other.classes
        self.modules.update(other.modules)
        self.longest = max(self.longest, other.longest)
        self.not_python += other.not_python


def count_file(folder: str, name: str) -> Figures:
    """Count one source file."""
    with open(os.path.join(folder, name), "rb") as file:
        source = file.read()
    figures = Figures(files=1, lines=len(source.splitlines()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The library keeps broken and undecodable files, to test Python with.
        figures.not_python = 1
        return figures
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            figures.functions += 1
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            figures.longest = max(figures.longest, (length, node.name, name))
        elif isinstance(node, ast.ClassDef):
            figures.classes += 1
        elif isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module.partition(".")[0])
    figures.modules.update(imported)
    return figures


def count_batch(
    number: int, folder: str, names: list[str], collector: Any, task: Any = None
) -> Generator[Any, Any, int]:
    """Count a batch of files; each file's figures go to `collector` as soon as they are known."""
    for name in names:
        collector.send((number, task.location, count_file(folder, name)))
        yield
    return len(names)


# The cluster.


@dataclass
class Share:
    """What one server did."""

    batches: set[int] = field(default_factory=set)
    files: int = 0
    lines: int = 0


@dataclass
class Counted:
    """What the cluster found, and what that took."""

    figures: Figures
    shares: dict[Any, Share]  # by server
    seconds: float  # from the first batch handed out to the last figure
    own: float  # seconds of processor time that this program took meanwhile


def hand_out(
    client: Any, folder: str, batches: Sequence[list[str]], collector: Any, task: Any = None
) -> Generator[Any, Any, None]:
    """Give each batch to the next server that is free, while `collector` adds up what comes."""
    for number, names in enumerate(batches):
        rtask = yield client.rtask(count_batch, number, folder, names, collector)
        if isinstance(rtask, dispycos.MonitorStatus):
            collector.send(rtask)  # it was refused, which its status task is not told otherwise
            return


def count_on_cluster(
    client: Any, servers: int, folder: str, batches: Sequence[list[str]], bar: Bar, task: Any = None
) -> Generator[Any, Any, Counted]:
    """Submit every batch, then add up the figures as they arrive."""
    client.status_task = task
    if (yield client.schedule()) != 0:
        raise RuntimeError("the cluster's scheduler did not take the client")
    for _ in range(200):  # ten seconds at most: a late server gets its batches all the same
        if len((yield client.servers())) >= servers:
            break
        yield task.sleep(0.05)
    started, own = time.monotonic(), time.process_time()
    dispycos.Task(hand_out, client, folder, batches, task)
    total = Figures()
    shares: dict[Any, Share] = {}
    running = len(batches)
    while running or total.files < sum(map(len, batches)):
        message = yield task.receive()
        if isinstance(message, dispycos.MonitorStatus):
            running -= 1
            if message.type is not StopIteration:
                raise RuntimeError(str(message.value))
        elif isinstance(message, tuple):
            number, location, figures = message
            total.add(figures)
            share = shares.setdefault(location, Share())
            share.batches.add(number)
            share.files += figures.files
            share.lines += figures.lines
            bar.advance(1, f"{total.lines:,} lines")
    seconds, own = time.monotonic() - started, time.process_time() - own
    # A server that was ready too late to get a batch is part of the picture too.
    for location in (yield client.servers()):
        shares.setdefault(location, Share())
    yield client.close()
    return Counted(total, shares, seconds, own)


# The program.


def source_files(folder: Path) -> list[str]:
    """Every .py file below `folder` but installed packages, as relative POSIX paths."""
    others = {"site-packages", "dist-packages", "__pycache__"}
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - others)
        paths = (Path(parent, name) for name in sorted(names) if name.endswith(".py"))
        found += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return found


def in_batches(folder: Path, names: Iterable[str], count: int) -> list[list[str]]:
    """Deal the files into `count` batches of about the same size in bytes, the largest first."""
    sizes = {name: (folder / name).stat().st_size for name in names}
    batches: list[tuple[int, list[str]]] = [(0, []) for _ in range(count)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        lightest = min(range(count), key=lambda index: batches[index][0])
        size, batch = batches[lightest]
        batch.append(name)
        batches[lightest] = (size + sizes[name], batch)
    return [batch for _, batch in batches if batch]


def table(figures: Figures, shares: dict[Any, Share]) -> str:
    """The figures, and where each server stood."""
    length, function, file = figures.longest
    rows = [
        ("files", f"{figures.files:,}"),
        ("lines", f"{figures.lines:,}"),
        ("functions", f"{figures.functions:,}"),
        ("classes", f"{figures.classes:,}"),
        ("longest function", f"{function} in {file}, {length:,} lines"),
    ]
    if figures.not_python:
        rows.append(("only lines counted", f"{figures.not_python:,} files that this Python can't parse"))
    lines = [f"  {name:<18}  {value}" for name, value in rows]
    # Most used first; names decide between equals, so that two runs print the same.
    top = sorted(figures.modules.items(), key=lambda item: (-item[1], item[0]))[:10]
    lines += ["", "  imported by the most files"]
    width = max((len(name) for name, _ in top), default=0)
    for index in range(0, len(top), 2):
        pair = [f"{name:<{width}} {count:>6,}" for name, count in top[index : index + 2]]
        lines.append("    " + "      ".join(pair))
    names = [str(location) for location in sorted(shares)]
    width = max([len("server"), *map(len, names)])
    lines += ["", f"  {'server':<{width}}  {'batches':>8}  {'files':>8}  {'lines':>10}"]
    for name, location in zip(names, sorted(shares), strict=True):
        share = shares[location]
        lines.append(f"  {name:<{width}}  {len(share.batches):>8,}  {share.files:>8,}  {share.lines:>10,}")
    return "\n".join(lines)


def gain(counted: Counted, alone: float, around: float, servers: int, cpus: int, busy: float) -> str:
    """How much faster the cluster was, what its start and end took, and why it was not more.

    alone   seconds that this program took by itself.
    around  seconds in which the cluster was started and ended.
    busy    how many processes wanted a processor before it began.
    """
    times = alone / counted.seconds
    faster = f"{times:.1f} times as fast" if times >= 1.05 else "no faster"
    many = f"{servers} server{'s' * (servers > 1)}"
    lines = [
        f"counting took {alone:.1f} s alone, {counted.seconds:.1f} s with {many}: {faster}",
        f"starting and ending the cluster took {around:.1f} s: once, however much work it is given",
    ]
    if times < 0.9 * servers or servers == 1:
        lines.append(f"why not more: {_limit(counted, servers, cpus, busy)}")
    return "\n".join(f"  {line}" for line in lines)


def _limit(counted: Counted, servers: int, cpus: int, busy: float) -> str:
    if busy >= cpus / 2:
        return f"{busy:.1f} other processes wanted the {cpus} processors here, and got their part of them"
    if servers == 1:
        return (
            "one server does one thing at a time; leave out --cpus, or start dispycosnode on another machine"
        )
    if servers > cpus:
        return f"{servers} servers share the {cpus} processors here"
    if counted.seconds < 1:
        return "this is little work, and the last batch keeps one server busy while the others wait"
    return (
        f"this program itself took {counted.own:.1f} s of the same {cpus} processors, to add up and to show; "
        "with nodes on other machines the servers have theirs for themselves"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status."""
    parser = Described(
        prog="python -m dispycos.demo",
        about=(__doc__ or "").partition("\n")[0],
        examples=(
            ("python -m dispycos.demo", "on every processor of this machine"),
            ("python -m dispycos.demo -c 2 --folder ~/src", "two servers count what you wrote"),
        ),
        statuses={0: "both counts agree", 1: "they do not, or a task failed", 2: "wrong usage, or no files"},
    )
    parser.add_argument(
        "-c",
        "--cpus",
        type=int,
        default=0,
        metavar="N",
        help="servers to start (default: one for each processor)",
    )
    parser.add_argument("--folder", metavar="DIR",
        help="count the .py files below it instead")  # fmt: skip
    parser.add_argument("--no-web", dest="web", action="store_false", help="no web monitor")
    options = parser.parse_args(arguments)
    try:
        server_count(options.cpus)
    except ValueError as exc:
        parser.error(str(exc))
    try:
        return run(options.folder, options.cpus, options.web)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def watch(client: Any) -> None:
    """Show the client in a browser, at the usual port or at a free one; the address is printed."""
    try:
        HTTPServer(client)
    except OSError:
        HTTPServer(client, port=listening.next_free(listening.LOOPBACK, listening.PORT + 1) or 0)


def run(chosen: str | None, cpus: int, web: bool = True) -> int:
    """Count on a cluster, count alone, compare."""
    folder = Path(chosen or sysconfig.get_path("stdlib")).resolve()
    names = source_files(folder)
    if not names:
        print(f"--folder {folder}: there is no .py file below it", file=sys.stderr)
        return 2
    what = str(folder) if chosen else f"the library of Python {platform.python_version()}"
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    started = time.monotonic()
    with dispycos.LocalCluster(cpus) as cluster:
        servers = cluster.cpus
        batches = in_batches(folder, names, 8 * servers)
        print(f"Counting {what}: {many(len(names), 'file')}", end=" ")
        print(f"in {many(len(batches), 'batch', 'batches')} on {many(servers, 'server')}.", flush=True)
        client = dispycos.Client([Figures, count_file, count_batch])
        if web:
            watch(client)
        with Bar(len(names), "on the cluster") as bar:
            collector = dispycos.Task(count_on_cluster, client, servers, str(folder), batches, bar)
            answer = collector.value()
        if isinstance(answer, dispycos.MonitorStatus):
            print(f"the count on the cluster failed: {answer.value}", file=sys.stderr)
            return 1
        counted: Counted = answer
    together = time.monotonic() - started

    started = time.monotonic()
    again = Figures()
    with Bar(len(names), "once more, alone") as bar:
        for name in names:
            again.add(count_file(str(folder), name))
            bar.advance(1, f"{again.lines:,} lines")
    alone = time.monotonic() - started

    print(f"\n{table(counted.figures, counted.shares)}\n")
    print(gain(counted, alone, together - counted.seconds, servers, processors(), busy))
    if counted.figures != again:
        print(f"  THE COUNTS DIFFER. Alone:\n\n{table(again, {})}")
        return 1
    print("  both counts agree")
    return 0
