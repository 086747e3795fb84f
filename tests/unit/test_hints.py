"""What hints tell to write exists, and takes what they show: no hint leads to another one."""

from __future__ import annotations

import ast
import inspect
import re
import types
from typing import Any

import pytest

import dispycos
from dispycos import Client, LocalCluster, SlurmCluster, SSHCluster, expose
from dispycos.client.future import Future
from dispycos.guidance import habits
from dispycos.httpd import HTTPServer
from dispycos.objects.remote import RemoteObject

TABLES = {name: table for name, table in vars(habits).items() if name.isupper() and isinstance(table, dict)}

# What hints call things; of what is not here, or in dispycos, nothing is known.
KNOWN: dict[str, Any] = {
    "client": Client,
    "future": Future,
    "cluster": LocalCluster,
    "thing": RemoteObject,
    "HTTPServer": HTTPServer,
}
# The caller's own, and Python's.
FREE = {"list", "str", "task", "f"}
# `a.b(...)[...].c`, brackets in brackets included.
EXPRESSION = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+")
IMPORT = re.compile(r"(?:from|python -m) (dispycos[\w.]*)(?: import (\w+))?")
# What an option of a call is told as, outside any call.
ARGUMENT = re.compile(r"(?:^|[ ,])(\w+)=(?!=)")
TAKEN_BY = {
    "ARGUMENTS": (Client,),
    "OF_SSH": (SSHCluster,),
    "OF_SLURM": (SlurmCluster,),
    "OF_EXPOSE": (expose,),
    "OF_WAITING": (dispycos.wait,),
}


class Checker:
    """Follows an expression as far as it is known what its parts are."""

    def kind(self, node: ast.expr) -> Any:
        """What it gives: a class, a function, or None if that is not known."""
        if isinstance(node, ast.Name):
            if node.id in KNOWN:
                return KNOWN[node.id]
            if node.id in FREE:
                return None
            return getattr(dispycos, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.kind(node.value)
            # A method of a remote object is the user's own.
            return None if owner in (None, RemoteObject) else getattr(owner, node.attr)
        if isinstance(node, ast.Call):
            return self.called(node)
        return None

    def called(self, node: ast.Call) -> Any:
        for each in (*node.args, *(one.value for one in node.keywords)):
            if not isinstance(each, ast.Name):
                self.kind(each)  # a name is the caller's
        function = self.kind(node.func)
        if function is None:
            return None
        signature = inspect.signature(function)
        if not any(isinstance(one, ast.Constant) and one.value is ... for one in node.args):
            named = {one.arg: 1 for one in node.keywords if one.arg}
            taken = {name for name, it in signature.parameters.items() if it.kind is not it.VAR_KEYWORD}
            if "Never" in str(signature):
                assert set(named) <= taken, f"{set(named) - taken} of {function}"
            # A method of a class that stands for its instance is not bound yet.
            unbound = isinstance(function, types.FunctionType) and "self" in signature.parameters
            signature.bind(*[1] * unbound, *node.args, **named)
        if isinstance(function, type):
            return function
        answers = str(signature.return_annotation).rpartition(".")[2]
        return {"Future": Future, "Operation": dispycos.Operation, "Submitter": Client}.get(answers)


def check(text: str) -> list[str]:
    """Check what is told; the expressions that were found."""
    found = []
    for match in EXPRESSION.finditer(IMPORT.sub("", text)):
        try:
            parsed = ast.parse(match[0], mode="eval")
        except SyntaxError:
            continue  # words, and not Python
        Checker().kind(parsed.body)
        found.append(match[0])
    return found


def check_whole(table: str, text: str) -> None:
    for module, name in IMPORT.findall(text):
        exec(f"from {module} import {name or '*'}", {})
    check(text)
    outside = re.sub(r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", text)
    for argument in [*ARGUMENT.findall(outside), *re.findall(r"^name it (\w+)", text)]:
        taken = {name for each in TAKEN_BY.get(table, ()) for name in inspect.signature(each).parameters}
        assert argument in taken, f"nobody takes {argument}="


@pytest.mark.parametrize("table", TABLES)
def test_what_hints_tell_to_write_exists_and_takes_what_is_shown(table: str) -> None:
    wrong = {}
    for name, template in TABLES[table].items():
        text = template.format(name, 1)
        try:
            check_whole(table, text)
        except (TypeError, AttributeError, AssertionError, ImportError) as error:
            wrong[text] = error
    assert not wrong


@pytest.mark.parametrize(
    "wrong",
    [
        "client.gather(x)",
        "client.options(tries=1).submit(f, x)",
        "client.rtask_at(x)",
        "no_such_thing(x)",
        "future.result().x and future.nothing()",
        "Client(workers=1)",
        "HTTPServer(client).links",
    ],
)
def test_a_hint_that_leads_nowhere_is_found(wrong: str) -> None:
    with pytest.raises((TypeError, AttributeError, AssertionError)):
        check(wrong)


def test_hints_are_read_as_far_as_they_are_python() -> None:
    texts = [text.format(name, 1) for table in TABLES.values() for name, text in table.items()]
    read = [one for text in texts for one in check(text)]
    assert len(read) > 100
