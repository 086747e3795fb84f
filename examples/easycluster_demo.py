"""What one master does with its servers.

    python examples/easycluster_demo.py                      a private server on this machine
    python examples/easycluster_demo.py -k KEYFILE HOST..    servers that run, such as localhost or host:11999

prints

    functions: 7 12
    evaluated: 42, and a block gave 55
    a proxy: 100, its attribute 101
    operators: 5, [0, 1, 2]
    a generator: [0, 1, 4, 9]
    printed there: 'hello from the master'
    freed there: ['it']
    parallel: 4 answers
    read together: [1, 4, 9, 16]
    stale: OSError
    closed: OSError
"""

import argparse
import threading
import time

from dispycos.easycluster import (
    Client,
    ClientGroup,
    add_key_options,
    call_multi,
    define_common,
    key_from_options,
    parse_connection_spec,
    server,
)

define_common(
    """
import threading, types

def addvals(a, b):
    return a + b

def squares(n):
    for i in range(n):
        yield i * i

# Generators stay at the server, and are iterated from here.
make_server_class(types.GeneratorType, export_methods=('__next__',), proxy_class=SelfIterProxy)

freed = []

class Number(ServerObject):
    export_methods = ('get', '__add__', '__iter__')
    export_attrs = ('value',)
    def __init__(self, value):
        self.value = value
    def get(self):
        return self.value
    def __add__(self, other):
        return Number(self.value + (other.value if isinstance(other, Number) else other))
    def __iter__(self):
        return iter(range(self.value))

class Paper(ServerObject):
    def __init__(self):
        self.text = ''
    def write(self, text):
        self.text += text

class Freed(ServerObject):
    def __init__(self, name):
        self.name = name
    def __del__(self):
        freed.append(self.name)

begun = threading.Event()

def wait():
    begun.set()
    threading.Event().wait()
"""
)


def show(title: str, *values: object) -> None:
    print(f"{title}:", *values)


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what a master can do")
    add_key_options(parser)
    parser.add_argument("specs", nargs="*", metavar="HOST")
    options = parser.parse_args()
    key = key_from_options(options)
    if options.specs:
        remotes = [Client(**parse_connection_spec(spec, default_key=key)) for spec in options.specs]
    else:
        remotes = [server.spawn_local()]
    rmt = remotes[0]

    show("functions", rmt.addvals(3, 4), rmt.addvals(5, b=7))
    block = "total = 0\nfor i in range(n):\n    total += i\nexec_return(total)"
    show("evaluated", f"{rmt.eval('6 * x', x=7)}, and a block gave {rmt.execblock(block, n=11)}")

    number = rmt.Number(100)
    before = number.get()
    number.value += 1
    show("a proxy", f"{before}, its attribute {number.value}")
    five = rmt.Number(2) + rmt.Number(3)
    show("operators", f"{five.get()}, {list(rmt.Number(3))}")
    show("a generator", list(rmt.squares(4)))

    paper = rmt.Paper()
    rmt.print("hello from the master", file=paper, end="")
    show("printed there", repr(paper.text))

    thing = rmt.Freed("it")
    assert thing.name == "it"
    del thing
    while not rmt.freed.value:
        time.sleep(0.001)
    show("freed there", rmt.freed.value)

    four = [remotes[i % len(remotes)] for i in range(4)]
    show("parallel", len(call_multi(four, "addvals", 1, 2)), "answers")
    read: list[int] = []
    group = ClientGroup(*remotes)
    for i, client in enumerate(four, 1):
        client.eval("i * i", i=i, oncomplete=read.append)
    group.read_responses(timeout=30)
    show("read together", sorted(read))

    rmt.reconnect()
    try:
        number.get()
    except OSError:
        show("stale", "OSError")

    def wait() -> None:
        try:
            rmt.wait()
        except OSError:
            show("closed", "OSError")

    waiter = threading.Thread(target=wait)
    waiter.start()
    rmt.call("begun.wait", threadid=1)
    for client in remotes:
        client.close()
    waiter.join()


if __name__ == "__main__":
    main()
