"""Services: what one end of a connection offers to the other one."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, TypeVar

from dispycos.objects.terms import Terms
from dispycos.rpc import sharing
from dispycos.rpc.connection import Connection
from dispycos.rpc.presence import Hooks


class Service(Hooks):
    """Subclass it. The other end reaches names with or without their prefix `exposed_`, and `@exposed` ones.

    A server that is given the class makes an instance for each connection; one that is given an
    instance shares it.
    """

    ALIASES: ClassVar[tuple[str, ...]] = ()  # names in the registry, first the main one

    terms: ClassVar[Terms] = sharing.SERVICE  # how it shares
    connection_class: ClassVar[type[Connection]] = Connection  # what its end of a connection is

    @classmethod
    def get_service_aliases(cls) -> tuple[str, ...]:
        """The names under which servers of it register, in capitals."""
        if cls.ALIASES:
            return tuple(str(name).upper() for name in cls.ALIASES)
        name = cls.__name__.upper()
        return (name.removesuffix("SERVICE") or name,)

    @classmethod
    def get_service_name(cls) -> str:
        """The first of these names."""
        return cls.get_service_aliases()[0]

    exposed_get_service_aliases = get_service_aliases
    exposed_get_service_name = get_service_name


class VoidService(Service):
    """Offers nothing: what a client shares unless it says otherwise."""


Kind = TypeVar("Kind", bound=type)


def service(kind: Kind, /) -> Kind:
    """Decorate a class whose names are marked by `@exposed`. The marks are enough: it stays as it is."""
    if not isinstance(kind, type):
        raise TypeError(f"@service is for a class, not {kind!r:.200}: mark a function by @exposed")
    return kind


def classpartial(service: type[Service], /, *args: Any, **kwargs: Any) -> type[Service]:
    """A service whose instances are made with these arguments, for a server that makes one a connection."""
    made = functools.partialmethod(service.__init__, *args, **kwargs)
    return type(service.__name__, (service,), {"__init__": made, "__doc__": service.__doc__})


def check_service(service: Any) -> None:
    """TypeError if it is no subclass of Service nor an instance of one, or counts on what is not asked."""
    kind = service if isinstance(service, type) else type(service)
    if not issubclass(kind, Service):
        raise TypeError(
            f"{service!r:.200} is no Service: give a subclass of rpc.Service, or an instance of one"
        )
    # RPyC asks these what may be reached; a service that relies on them would share other things.
    for name in ("_rpyc_getattr", "_rpyc_setattr", "_rpyc_delattr"):
        if hasattr(kind, name):
            raise TypeError(
                f"{kind.__name__}.{name} is never asked here: mark what is shared by exposed_ or "
                "@rpc.exposed, or have a method give rpc.restricted(object, names)"
            )


class Unmade(VoidService):
    """In the place of a service that could not be made: no connection with it begins."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def on_connect(self, conn: Connection) -> None:
        """Why."""
        raise self._error


def made_of(service: Any) -> Any:
    """As `instance_of`, for who has to be told if there is none."""
    try:
        return instance_of(service)
    except BaseException as exc:
        return Unmade(exc)


def instance_of(service: Any) -> Any:
    """The service of a new connection. TypeError if it is none."""
    check_service(service)
    return service() if isinstance(service, type) else service
