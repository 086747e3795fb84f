"""One master script and its servers: remote calls, server objects, parallel calls."""

from __future__ import annotations

from dispycos.surface import TYPE_CHECKING, on_use

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

__getattr__, __dir__ = on_use(
    globals(),
    {
        "AutoThreadingClient": "easycluster.threaded",
        "Client": "easycluster.client",
        "ClientGroup": "easycluster.group",
        "RemoteException": "easycluster.failures",
        "RemoteProxy": "easycluster.proxies",
        "Response": "easycluster.response",
        "SINGLE": "easycluster.options",
        "SelfIterProxy": "easycluster.proxies",
        "ServerObject": "easycluster.server_objects",
        "ThreadedClient": "easycluster.threaded",
        "add_key_options": "easycluster.keys",
        "call_method_multi": "easycluster.multi",
        "call_multi": "easycluster.multi",
        "decode_key": "easycluster.keys",
        "define_common": "easycluster.definitions",
        "eval_multi": "easycluster.multi",
        "exec_return": "easycluster.definitions",
        "execblock_multi": "easycluster.multi",
        "generate_key": "easycluster.keys",
        "key_from_options": "easycluster.keys",
        "make_server_class": "easycluster.server_objects",
        "make_singleton": "easycluster.server_objects",
        "parse_connection_spec": "easycluster.specs",
        "read_key_file": "easycluster.keys",
        "server": "easycluster.server:",
        "write_key_file": "easycluster.keys",
    },
)
