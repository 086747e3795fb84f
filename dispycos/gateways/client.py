"""The Client of programs: the client's own, which also opens gateways to its servers.

I/O half. Layer 7.
"""

from __future__ import annotations

from dispycos.client import client
from dispycos.kernel.operation import Operation
from dispycos.model import Location


class Client(client.Client):
    __doc__ = client.Client.__doc__

    def gateway(self, where: Location | str) -> Operation:
        """Yield this: a Gateway whose code runs in a server, beside its tasks.

        where  a server (its Location), or a node (its address) for any server of it.
        `import __main__` finds there what components and tasks of this client share. Waits until
        the server takes I/O tasks. HostNotFound says why there is no gateway.
        """
        # Imported by those who open one: it is a quarter of what a client imports.
        from dispycos.gateways.cluster import open_gateway

        return open_gateway(self, where)
