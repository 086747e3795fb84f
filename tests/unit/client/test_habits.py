"""Who writes the words of another library is told ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import dispycos
from dispycos import Client, LocalCluster
from dispycos.client import habits
from dispycos.client.future import Future


def plain(x: int) -> int:
    return x


def own(x: int, retries: int = 0) -> int:
    return x + retries


def refused() -> Future:
    return Future.refused("the client is closed")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Client(n_workers=4), "takes no n_workers=: `with LocalCluster(4):` around"),  # type: ignore[arg-type]
        (lambda: Client(node_setupp=plain), "did you mean node_setup=?"),  # type: ignore[arg-type]
        (lambda: LocalCluster(n_workers=4), "takes no n_workers=: LocalCluster(4) has four servers"),  # type: ignore[arg-type]
        (lambda: Client("tcp://head:8786"), "a scheduler is named by client.schedule('HOST')"),
        (lambda: Client().gather([]), "'Client' object has no attribute 'gather'; here it is: gather("),
        (lambda: Client().options(retries=1).scatter, "no attribute 'scatter'; here it is"),
        (lambda: refused().get(), "'Future' object has no attribute 'get'; here it is: future.result()"),
        (lambda: Client().submit(plain, 1, retries=2), "hands retries= on to plain, which does not take it"),
        (lambda: Client().rtask(plain, 1, workers="a"), "as an option it is: client.rtask_at('a', ...)"),
        (lambda: dispycos.delayed, "no attribute 'delayed'; here it is: client.submit(f, x).result()"),
    ],
)  # fmt: skip
def test_a_word_of_another_library_is_answered_with_ours(call: Callable[[], Any], said: str) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        call()
    assert said in str(caught.value)


def test_what_a_function_takes_itself_is_its_own() -> None:
    with pytest.raises(dispycos.TaskRejected):  # nobody takes it, for the client was not scheduled
        Client().submit(own, 1, retries=2).result(0)
    habits.refuse_options("submit", max, {"key": 1})  # nobody knows what it takes
    habits.refuse_options("submit", lambda **more: more, {"retries": 1})


def test_no_word_is_one_of_ours_and_none_is_shown() -> None:
    assert not set(dir(Client())) & set(habits.METHODS) and "submit" in dir(Client())
    assert not set(dir(refused())) & set(habits.OF_FUTURES) and "done" in dir(refused())
    assert not hasattr(Client, "gather") and not hasattr(dispycos, "delayed")
    assert not set(habits.ARGUMENTS) & set(inspect.signature(Client).parameters)
    assert not set(habits.NAMES) & set(dispycos.__all__)
