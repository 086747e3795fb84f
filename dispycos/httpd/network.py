"""What an endpoint counts, as figures for Prometheus and for the page.

Layer 7. Row MO-35.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from dispycos.net.endpoint import Endpoint


def figures(endpoint: Endpoint) -> dict[str, Any]:
    """Its sessions by state, bytes by direction, connections that were not let in by reason; any thread."""
    came, went = endpoint.traffic.total()
    return {
        "sessions": Counter(peer.state for peer in endpoint.peers()),
        "bytes": {"in": came, "out": went},
        "refused": endpoint.refusals,
    }
