"""Classic mode: another Python as if it were this one, and code that is sent there.

    python examples/rpc_classic.py

prints

    another process: True
    the same system: True
    a/b
    Hello from the other side
    [1, 2, 3]
"""

import os

from dispycos import rpc

HELLO = """
def hello():
    print("Hello from the other side")
"""


def main():
    with rpc.classic.connect_subproc() as conn:
        print("another process:", conn.modules.os.getpid() != os.getpid())
        print("the same system:", conn.modules.os.uname() == os.uname())
        print(conn.modules["os.path"].join("a", "b"))

        conn.execute(HELLO)
        with rpc.classic.redirected_stdio(conn):
            conn.namespace["hello"]()

        items = rpc.classic.deliver(conn, [1, 2])
        items.append(3)  # there
        print(rpc.classic.obtain(items))


if __name__ == "__main__":
    main()
