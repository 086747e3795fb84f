"""Hardware as a resource: another Python computes, and this one goes on meanwhile.

Here the other Python is a process of this machine; `rpc.classic.connect("host")` is one of another
machine, where `dispycos-classic --host 0.0.0.0` runs.

    python examples/rpc_hardware.py

prints

    another process: True
    done at once: False
    meanwhile: 45
    primes below 20000: 2262
"""

import os

from dispycos import rpc


def count_primes(limit):
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))


def main():
    with rpc.classic.connect_subproc() as conn:
        print("another process:", conn.modules.os.getpid() != os.getpid())
        count_there = conn.teleport(count_primes)
        result = rpc.async_(count_there)(20_000)
        print("done at once:", result.ready)
        print("meanwhile:", sum(range(10)))
        print("primes below 20000:", result.value)


if __name__ == "__main__":
    main()
