"""A process with tasks and a network, for the scripts of `test_delivery`.

`HOME` runs tasks and channels that others refer to; each script calls `start` for its own.
"""

import os
import signal
import sys
from dataclasses import replace

from dispycos.config import Limits
from dispycos.kernel import loop
from dispycos.kernel.channel import Channel
from dispycos.kernel.task import Task
from dispycos.model import Location, Role
from dispycos.net.delivery import Delivery
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor

LIMITS = replace(Limits(), keepalive=0.3, suspect_after=0.9)


def start(name: str, home: str = "") -> Delivery:
    """Give this process a network; `home` is HOST:PORT of a party to dial."""
    own = loop.default()
    reactor = Reactor.in_thread()
    keyring = Keyring(ClusterKey(bytes.fromhex(os.environ["PARTY_KEY"])))
    endpoint = Endpoint(reactor, roles=Role.PEER, keyring=keyring, limits=LIMITS, name=name)
    reactor.run(endpoint.listen(["127.0.0.1"])).result(5)
    delivery = Delivery(own.kernel, endpoint)
    if home:
        host, port = home.rsplit(":", 1)
        reactor.call(endpoint.dial, Location(host, int(port)))

    def end() -> None:
        reactor.run(endpoint.close()).result(5)
        delivery.close()
        reactor.stop()

    own.at_exit(10, end)
    return delivery


def echo(task=None):
    while True:
        message, answer_to = yield task.receive()
        answer_to.send(("echo", message))


def answer(task=None):
    yield task.receive()
    return 42


def failing(task=None):
    yield task.receive()
    raise KeyError("lost", 7)


def caught(task=None):
    try:
        yield task.sleep()
    except ZeroDivisionError as error:
        return f"caught {error}"


def spawner(task=None):
    """Answers each request with a fresh task of the kind asked for."""
    kinds = {function.__name__: function for function in (answer, failing, caught, echo)}
    while True:
        kind, reply_to = yield task.receive()
        made = os.getpid() if kind == "pid" else Task(kinds[kind])
        yield  # it begins before anybody can throw into it
        reply_to.send(made)


def crash(task=None):
    yield task.receive()
    os.kill(os.getpid(), signal.SIGKILL)


def main(task=None):
    for function in (echo, spawner, crash):
        Task(function).register(function.__name__)
    news = Channel("news", lambda name, message: None if message == "secret" else (name, message))
    news.register()
    print("home", loop.current_kernel().network.location, flush=True)
    yield task.sleep()


if __name__ == "__main__":
    start("home")
    Task(main)
    sys.stdout.flush()
