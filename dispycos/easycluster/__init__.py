"""One master script and its servers: remote calls, server objects, parallel calls."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispycos.easycluster import server
    from dispycos.easycluster.client import Client
    from dispycos.easycluster.definitions import define_common, exec_return
    from dispycos.easycluster.failures import RemoteException
    from dispycos.easycluster.group import ClientGroup
    from dispycos.easycluster.keys import (
        add_key_options,
        decode_key,
        generate_key,
        key_from_options,
        read_key_file,
        write_key_file,
    )
    from dispycos.easycluster.multi import call_method_multi, call_multi, eval_multi, execblock_multi
    from dispycos.easycluster.options import SINGLE
    from dispycos.easycluster.proxies import RemoteProxy, SelfIterProxy
    from dispycos.easycluster.response import Response
    from dispycos.easycluster.server_objects import ServerObject, make_server_class, make_singleton
    from dispycos.easycluster.specs import parse_connection_spec
    from dispycos.easycluster.threaded import AutoThreadingClient, ThreadedClient

__all__ = [
    "SINGLE",
    "AutoThreadingClient",
    "Client",
    "ClientGroup",
    "RemoteException",
    "RemoteProxy",
    "Response",
    "SelfIterProxy",
    "ServerObject",
    "ThreadedClient",
    "add_key_options",
    "call_method_multi",
    "call_multi",
    "decode_key",
    "define_common",
    "eval_multi",
    "exec_return",
    "execblock_multi",
    "generate_key",
    "key_from_options",
    "make_server_class",
    "make_singleton",
    "parse_connection_spec",
    "read_key_file",
    "server",
    "write_key_file",
]

_HOMES = {
    "SINGLE": "options",
    "AutoThreadingClient": "threaded",
    "Client": "client",
    "ClientGroup": "group",
    "RemoteException": "failures",
    "RemoteProxy": "proxies",
    "Response": "response",
    "SelfIterProxy": "proxies",
    "ServerObject": "server_objects",
    "ThreadedClient": "threaded",
    "add_key_options": "keys",
    "call_method_multi": "multi",
    "call_multi": "multi",
    "decode_key": "keys",
    "define_common": "definitions",
    "eval_multi": "multi",
    "exec_return": "definitions",
    "execblock_multi": "multi",
    "generate_key": "keys",
    "key_from_options": "keys",
    "make_server_class": "server_objects",
    "make_singleton": "server_objects",
    "parse_connection_spec": "specs",
    "read_key_file": "keys",
    "write_key_file": "keys",
}


def __getattr__(name: str) -> Any:
    if name == "server":
        return importlib.import_module("dispycos.easycluster.server")
    if name not in _HOMES:
        raise AttributeError(f"module 'dispycos.easycluster' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dispycos.easycluster.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
