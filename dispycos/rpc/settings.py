"""RPyC's settings of a connection, `config=` and `protocol_config=`: what becomes of each here.

What holds here anyway may be said; whoever says anything else is told what to write instead,
for a program that asks for less safety, or for more, must not believe that it has it.
Only `sync_request_timeout` changes something: seconds for the answer of each call that is waited for.

Pure: no I/O, clock or randomness. Row GN-05.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dispycos.arguments import seconds

Config = Mapping[str, Any] | None

_MARK: Final = (
    "mark what is shared by exposed_ or @rpc.exposed, or give rpc.restricted(object, names); "
    "classic mode shares everything"
)
_WRITE: Final = (
    "write through a method that is exposed, or give rpc.restricted(object, names, names to write)"
)
_COPY: Final = "built-in data is copied anyway; rpc.classic.obtain and deliver copy the rest, in classic mode"
_TYPES: Final = (
    "an exception has its own type where this program has imported that, and is a GenericException else"
)
_ENDS: Final = "what ends a program there is a GenericException here"

# What each may be in a connection of services, and what to do for who wants it otherwise.
_SERVICES: Final[dict[str, tuple[Any, str]]] = {
    "allow_all_attrs": (False, _MARK),
    "allow_public_attrs": (False, _MARK),
    "allow_exposed_attrs": (True, "what is marked is shared: mark nothing"),
    "allow_safe_attrs": (False, "mark operators too: exposed___add__"),
    "allow_getattr": (True, "what is marked is shared: mark nothing"),
    "allow_setattr": (False, _WRITE),
    "allow_delattr": (False, _WRITE),
    "allow_pickle": (False, _COPY),
    "exposed_prefix": ("exposed_", "it is exposed_; @rpc.exposed marks other names"),
    "import_custom_exceptions": (False, _TYPES),
    "instantiate_custom_exceptions": (True, _TYPES),
    "instantiate_oldstyle_exceptions": (False, _TYPES),
    "propagate_SystemExit_locally": (False, _ENDS),
    "propagate_KeyboardInterrupt_locally": (False, _ENDS),
    "include_local_traceback": (
        True,
        "the traceback goes along always: catch in the service what is to stay there",
    ),
}
# In classic mode the other end may do anything.
_CLASSIC: Final[dict[str, tuple[Any, str]]] = {
    **_SERVICES,
    **dict.fromkeys(
        (
            "allow_all_attrs",
            "allow_public_attrs",
            "allow_safe_attrs",
            "allow_setattr",
            "allow_delattr",
            "allow_pickle",
            "import_custom_exceptions",
        ),
        (True, "classic mode shares everything: use a Service"),
    ),
}


def limit_of(config: Config, *, classic: bool) -> float | None:
    """Seconds for the answer of each call, or None.

    ValueError for a setting that does not hold here; TypeError for what is no settings.
    """
    if config is not None and not isinstance(config, Mapping):
        raise TypeError(
            f'config must be a dict of settings, such as {{"sync_request_timeout": 30}}, not {config!r:.200}'
        )
    limit = None
    known = _CLASSIC if classic else _SERVICES
    for name, value in (config or {}).items():
        if name == "sync_request_timeout":
            limit = None if value is None else seconds(name, value)
        elif name not in known:
            raise ValueError(f"config: there is no setting {name!r:.200} here; leave it out")
        elif value != known[name][0]:
            raise ValueError(
                f"config: {name!r} is always {known[name][0]!r} here, not {value!r:.200}: {known[name][1]}"
            )
    return limit
