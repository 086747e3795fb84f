"""What goes wrong in RPyC's vocabulary alone."""

from __future__ import annotations

from dispycos.errors import DispycosError, Timeout


class AsyncResultTimeout(Timeout):
    """An AsyncResult expired before its answer came; the other end was told to stop."""


class DiscoveryError(DispycosError):
    """No registry answered, or none knows a server of that name; the text says which."""
