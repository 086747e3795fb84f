"""A client program and a bare server, as the tests of code and values need them."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispycos.pickling import values
from dispycos.pickling.code import dump_definition
from dispycos.pickling.rebuild import Namespace
from tests import helpers


@contextmanager
def program(source: str, path: Path, name: str = "client_program") -> Iterator[types.ModuleType]:
    """A module that no server can import, as a client's program is."""
    path.write_text(source)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), vars(module))
        yield module
    finally:
        del sys.modules[name]


class Server:
    """A server in this process: it knows nothing of what this process made itself."""

    def __init__(self) -> None:
        self.namespace = Namespace(shared=False)

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        hash_, payload = dump_definition(function)
        self.namespace.define(hash_, payload)
        args, kwargs = values.load(values.dump((args, kwargs)), self.namespace)
        return self.namespace.function(hash_)(*args, **kwargs)


# A bare server in an interpreter of its own: told by one pickle what to do.

_SERVER = """
import pickle, sys
from dispycos.pickling import values
from dispycos.pickling.rebuild import Namespace

namespace, answers = Namespace(), []
for verb, *rest in pickle.loads(bytes.fromhex(sys.stdin.read())):
    try:
        if verb == "components":
            answers.append(("missing", namespace.load_components(*rest)))
            namespace.install()
        elif verb == "define":
            namespace.define(*rest)
        elif verb == "call":
            args, kwargs = values.load(rest[1], namespace)
            answers.append(("value", values.dump(namespace.function(rest[0])(*args, **kwargs))))
    except BaseException as exc:
        answers.append(("error", values.dump_exception(exc)))
print(pickle.dumps(answers).hex())
"""


class Orders(list[Any]):
    """What a bare server is to do, in order."""

    def components(self, payload: Any) -> None:
        self.append(("components", payload))

    def call(self, function: Any, *args: Any, **kwargs: Any) -> None:
        hash_, payload = dump_definition(function)
        self.append(("define", hash_, payload))
        self.append(("call", hash_, values.dump((args, kwargs))))

    def call_by_hash(self, function: Any, *args: Any) -> None:
        """As one of the components: nothing is defined."""
        self.append(("call", dump_definition(function)[0], values.dump((args, {}))))


def carry_out(orders: list[Any], folder: Path) -> list[Any]:
    """Have a new interpreter do it; the answers, each loaded here. Raised errors are values."""
    folder.mkdir(exist_ok=True)
    done = helpers.run_python(_SERVER, input=pickle.dumps(list(orders)).hex(), cwd=folder)
    assert done.code == 0, done.err
    answers = pickle.loads(bytes.fromhex(done.out))
    return [
        rest if kind == "missing" else values.load(rest) if kind == "value" else values.load_exception(*rest)
        for kind, rest in answers
    ]


# What client programs of an interpreter of their own begin with: at their end they print orders.
PRELUDE = """
import pickle
from tests.unit.pickling.shipping import Orders
orders = Orders()
"""
EPILOGUE = """
print(pickle.dumps(list(orders)).hex())
"""


def orders_of(out: str) -> list[Any]:
    found: list[Any] = pickle.loads(bytes.fromhex(out.strip().splitlines()[-1].strip(">. ")))
    return found
