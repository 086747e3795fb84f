"""How this process takes part in a network, as the arguments of Pycos and Scheduler say it.

I/O half. Layer 5. Rows KE-25, DS-01.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from typing import Any

from dispycos import config
from dispycos.arguments import a_name, integer, port, text
from dispycos.config import Limits
from dispycos.configuration import settings
from dispycos.configuration.names import CLIENT, SHARED
from dispycos.model import Role
from dispycos.net.tls import CertificateFiles
from dispycos.records import record
from dispycos.wording import nearest

log = logging.getLogger("dispycos")


@record
class Options:
    """How this process takes part in a network."""

    hosts: tuple[str, ...] = ()  # names or addresses to listen at; none: that of the default route
    announce: tuple[str, ...] = ()  # the addresses that others dial instead
    tcp_port: int = 0  # 0: a free one
    name: str = ""  # for `locate`; none: the host's
    secret: str = ""
    udp_port: int | None = None  # None: no UDP socket exists (SE-33, R-82)
    multicast: bool = False  # instead of broadcast, on IPv4
    dest_path: str = ""  # where files of others go; none: a folder of this account's own
    max_file_size: int = 0  # bytes; 0: only the limits of all files of one sender
    certificates: CertificateFiles | None = None  # None: plain TCP
    meets_peers: bool = False  # reach for other programs of the same key
    roles: Role = Role.PEER | Role.CLIENT
    limits: Limits = field(default_factory=config.limits)

    @classmethod
    def of(
        cls,
        *,
        node: str | Sequence[str] | None = None,
        host: str | Sequence[str] | None = None,
        ext_ip_addr: str | Sequence[str] | None = None,
        ext_host: str | Sequence[str] | None = None,
        tcp_port: int | None = None,
        udp_port: int | None = None,
        name: str | None = None,
        discover_peers: bool | None = None,
        secret: str = "",
        ipv4_udp_multicast: bool | None = None,
        dest_path: str | os.PathLike[str] = "",
        max_file_size: int | None = None,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        cafile: str | os.PathLike[str] | None = None,
    ) -> Options:
        """What the arguments of Pycos mean; TypeError and ValueError name the argument.

        node, host             where to listen: a name or address, or several.
        ext_ip_addr, ext_host  what others are told to dial instead: an address, or several in order.
        tcp_port               None: a free one.
        udp_port               of discovery; None: `config.NetPort`.
        discover_peers         False: no datagram is sent, and only named peers are met.
        dest_path              where files of others are stored; max_file_size: bytes of one file.
        certfile, keyfile      PEM: TLS on all TCP, with this certificate; the key may be inside.
        cafile                 PEM: only certificates of these authorities are believed.
        """
        configured = _Configured()
        if node is not None and host is not None:
            raise ValueError("node and host are two names of one argument: give one")
        if ext_ip_addr is not None and ext_host is not None:
            raise ValueError("ext_ip_addr and ext_host are two names of one argument: give one")
        return cls(
            hosts=_texts(
                "node" if node is not None else "host",
                configured.of("host", node if node is not None else host),
            ),
            announce=_texts(
                "ext_ip_addr", configured.of("ext_host", ext_ip_addr if ext_ip_addr is not None else ext_host)
            ),
            tcp_port=port("tcp_port", configured.number("tcp_port", tcp_port)),
            name=a_name("name", configured.of("name", name) or "", most=Limits().max_name_chars),
            secret=text("secret", secret),
            udp_port=configured.udp_port(udp_port)
            if configured.of("discover_peers", discover_peers) in (None, True)
            else None,
            multicast=bool(configured.of("ipv4_udp_multicast", ipv4_udp_multicast)),
            dest_path=configured.path("dest_path", dest_path),
            max_file_size=integer(
                "max_file_size", configured.number("max_file_size", max_file_size), least=0
            ),
            certificates=configured.certificates(certfile, keyfile, cafile),
            limits=configured.limits(),
        )

    @classmethod
    def given(cls, call: Callable[..., Any], arguments: dict[str, Any]) -> Options:
        """As `of`, for what a program gave to `call` beside its own arguments; TypeError names that call."""
        known = inspect.signature(cls.of).parameters
        for name in arguments:
            if name not in known:
                taken = inspect.signature(call).parameters.values()
                own = [parameter.name for parameter in taken if parameter.kind is parameter.KEYWORD_ONLY]
                near = nearest(name, [*own, *known])
                hint = f"did you mean {near}=?" if near else f"it takes {', '.join([*own, *known])}"
                raise TypeError(f"{call.__name__}() has no argument {name!r}; {hint}")
        return cls.of(**arguments)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """A text or several, each once; None and "" are none."""
    several = value if isinstance(value, Iterable) and not isinstance(value, str) else [value or ""]
    return tuple(dict.fromkeys(filter(None, (text(name, one) for one in several))))


def default_options() -> Options:
    """Those of a program that named none: listen, and find others by broadcast."""
    return Options.of()


class _Configured:
    """What files and variables say where the program says nothing. BadConfiguration."""

    def __init__(self) -> None:
        self._found = settings.of_client()
        for sentence in settings.strangers({"client": CLIENT}):
            log.warning("%s", sentence)

    def of(self, name: str, given: Any) -> Any:
        """What the program gave, else what is set; None: neither."""
        found = self._found.get(name)
        return given if given is not None or found is None else found.value

    def number(self, name: str, given: int | None) -> Any:
        """As `of`; 0: neither. What a program gave is not changed: its kind is checked."""
        told = self.of(name, given)
        return int(told) if isinstance(told, str) and given is None else told or 0

    def path(self, name: str, given: str | os.PathLike[str]) -> str:
        """An absolute path; "": nobody named one."""
        found = self.of(name, given or None)
        return os.path.abspath(found) if found else ""

    def udp_port(self, given: int | None) -> int:
        """Of discovery; a program that assigned `config.NetPort` has said it, too."""
        if given is None and str(config.NetPort) != SHARED["udp_port"].default:
            given = config.NetPort
        told = self.of("udp_port", given)
        return port("udp_port", config.NetPort if told is None else self.number("udp_port", given))

    def certificates(self, *given: str | os.PathLike[str] | None) -> CertificateFiles | None:
        """The program's files, or those that are set: never some of each."""
        if any(given):
            return CertificateFiles.given(*given)
        return CertificateFiles.given(*(self.of(name, None) for name in ("certfile", "keyfile", "cafile")))

    def limits(self) -> Limits:
        """Those of the process, with the time for a question that is set."""
        seconds = self.of("msg_timeout", None)
        return replace(config.limits(), request_timeout=float(seconds)) if seconds else config.limits()
