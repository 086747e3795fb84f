"""The same call on several servers, in parallel. Row EC-35."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dispycos.easycluster.client import Client
from dispycos.easycluster.proxies import RemoteProxy
from dispycos.easycluster.response import Response


def call_multi(clients: Iterable[Client], name: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Call a function on each server: the values, in the clients' order.

    All are awaited. If any failed, the first one's exception is raised; its `outcomes` are what
    every one gave or raised.
    """
    return _all(clients, lambda client: client.call(name, *args, **kwargs), kwargs)


def eval_multi(clients: Iterable[Client], expression: str, **variables: Any) -> list[Any]:
    """The value of an expression on each server; as `call_multi`."""
    return _all(clients, lambda client: client.eval(expression, **variables), variables)


def execblock_multi(clients: Iterable[Client], source: str, **variables: Any) -> list[Any]:
    """Run a block on each server; as `call_multi`."""
    return _all(clients, lambda client: client.execblock(source, **variables), variables)


def call_method_multi(proxies: Iterable[RemoteProxy], name: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Call a method of each object; as `call_multi`."""
    return _all(proxies, lambda proxy: proxy.raw_call_method(name, *args, **kwargs), kwargs)


def _all(targets: Iterable[Any], ask: Callable[[Any], Response], kwargs: dict[str, Any]) -> list[Any]:
    for option in ("nonblocking", "oncomplete", "onerror"):
        if option in kwargs:
            raise TypeError(f"{option}= has no meaning for a call that waits for all")
    kwargs["nonblocking"] = True
    outcomes: list[Any] = []
    failed: list[BaseException] = []
    # All are asked before any is awaited; one that can't be asked is a failure like others.
    for target in list(targets):
        try:
            outcomes.append(ask(target))
        except Exception as exc:
            outcomes.append(exc)
    for number, response in enumerate(outcomes):
        if isinstance(response, Response):
            try:
                outcomes[number] = response.wait()
                continue
            except Exception as exc:
                outcomes[number] = exc
        failed.append(outcomes[number])
    if failed:
        failed[0].outcomes = outcomes  # type: ignore[attr-defined]  # as the docstring promises
        raise failed[0]
    return outcomes
