"""P6: a picture of the schedule that was.

python -m bench.schedule [--svg docs/schedule.svg]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.ideal import Held
from bench.peers.ours import Peer

WIDTH, LEFT, ROW = 760, 80, 30


def svg(held: Sequence[Held], share: float) -> str:
    """A row a worker, a bar a task; long ones in the other colour."""
    began, ended = min(task[1] for task in held), max(task[2] for task in held)
    scale = (WIDTH - LEFT - 20) / (ended - began)
    workers = {pid: row for row, pid in enumerate(dict.fromkeys(task[0] for task in held))}
    height = 60 + ROW * len(workers)
    title = (
        f"{len(held)} tasks of 1 ms (dark) and 100 ms on {len(workers)} servers: "
        f"{1000 * (ended - began):.0f} ms, {100 * share:.0f} % of the ideal schedule"
    )
    parts = [f'<text x="10" y="18">{title}</text>']
    for row in workers.values():
        parts.append(f'<text x="10" y="{50 + ROW * row}">server {row + 1}</text>')
    for pid, start, end in held:
        kind = "long" if end - start > 0.05 else "brief"
        x, width = LEFT + (start - began) * scale, max((end - start) * scale, 0.5)
        y = 35 + ROW * workers[pid]
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 8}" class="{kind}"/>')
    style = "text{font:12px sans-serif;fill:#333}.long{fill:#9db4c8;stroke:#fff}.brief{fill:#d1602f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.schedule", description=__doc__)
    parser.add_argument("--svg", type=Path, default=Path("docs/schedule.svg"), metavar="FILE")
    options = parser.parse_args(arguments)
    peer = Peer()
    peer.start()
    try:
        peer.first()
        share = max((peer.uneven(100), tuple(peer.held)) for _ in range(3))
    finally:
        peer.stop()
    options.svg.write_text(svg(share[1], share[0]))
    print(f"{100 * share[0]:.0f} % of the ideal schedule; written: {options.svg}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
