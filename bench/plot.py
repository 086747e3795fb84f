"""The table as a picture: one SVG, one bar a peer and workload, logarithmic."""

from __future__ import annotations

import math
from html import escape

from bench.results import OURS, Report, Result
from bench.workloads import LESS

WIDTH, LABEL, BAR, GAP = 760, 190, 18, 34


def svg(report: Report) -> str:
    """The picture's text."""
    parts: list[str] = []
    y = 10
    groups: dict[str, list[Result]] = {}
    for result in report.results:
        if result.median > 0:  # a logarithm of nothing is nowhere
            groups.setdefault(result.workload, []).append(result)
    for name, results in groups.items():
        title = f"{name}  {results[0].title} [{results[0].unit}]"
        parts.append(f'<text x="10" y="{y + 14}" class="title">{escape(title)}</text>')
        y += 24
        low = min(result.median for result in results) / 2
        high = max(result.median for result in results)
        for result in sorted(results, key=lambda r: r.median, reverse=name not in LESS):
            share = math.log(result.median / low) / math.log(high / low)
            length = round(share * (WIDTH - LABEL - 110))
            kind = "ours" if result.peer == OURS else "bar"
            label = f"{result.median:,.0f}" if result.median >= 100 else f"{result.median:.3g}"
            parts.append(
                f'<text x="{LABEL - 6}" y="{y + 13}" class="name">{escape(result.peer)}</text>'
                f'<rect x="{LABEL}" y="{y}" width="{length}" height="{BAR - 4}" class="{kind}"/>'
                f'<text x="{LABEL + length + 5}" y="{y + 12}">{label}</text>'
            )
            y += BAR
        y += GAP - BAR
    style = (
        "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.name{text-anchor:end}"
        ".bar{fill:#9db4c8}.ours{fill:#d1602f}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
