"""Who may ask: the names of this monitor, checked before anything else of a request is looked at.

A page of another site can make a browser send requests here, also under a name that its owner
makes point to us. So Host must be one of our names, and whoever says where his page came from
(Origin, Sec-Fetch-Site) must have it from us.

Pure. Layer 2. Rows SE-35, SE-100, SE-102.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?)(?::([0-9]{1,5}))?")


class Names:
    """The names under which this monitor is asked for.

    hosts   names and addresses beside loopback's.
    scheme  http or https.
    """

    def __init__(self, hosts: Iterable[str], scheme: str) -> None:
        self.scheme = scheme
        self._hosts = {*LOOPBACK, *(_written(host) for host in hosts)}

    def refusal(
        self, host: Sequence[str], origin: Sequence[str], site: Sequence[str], target: str
    ) -> int | None:
        """The status of a refusal, or None: what these headers say, and the request's target."""
        if len(host) != 1:
            return 403
        found = _HOST.fullmatch(host[0].strip().lower())
        if found is None or found[1] not in self._hosts:
            return 403
        if len(origin) > 1 or (origin and not self.is_ours(origin[0], host[0])):
            return 403
        if site and (len(site) > 1 or site[0] not in ("same-origin", "none")):
            return 403
        # Only a path: an absolute target names a host that nobody has checked.
        return None if target.startswith("/") else 400

    def is_ours(self, origin: str, host: str) -> bool:
        """Whether a page from `origin` is one of those served to that Host, port included."""
        return origin.lower() == f"{self.scheme}://{host.strip().lower()}"


def _written(host: str) -> str:
    """A host as it stands in a Host header."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host.lower()
    return f"[{address}]" if address.version == 6 else str(address)
