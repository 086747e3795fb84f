"""The limit: two processes and a loopback socket, with nothing of what a library gives.

Tasks are pickled batches, messages are small fixed records, bulk is one way into a buffer that is
already there. No ids, no errors, no reconnecting: nobody should program like this.
"""

from __future__ import annotations

import multiprocessing
import pickle
import socket
import struct
import threading

from bench.peers.base import CarriesBulk
from bench.peers.base import Peer as Base
from bench.work import check, same
from bench.workloads import WORKERS

HEADER = struct.Struct("!BI")  # what, and its length
BATCH, MESSAGE, STREAM, BULK = range(4)
RECORD = 100  # bytes of a message
BATCH_TASKS = 256
CHUNK = 500  # messages written at once when streamed


def read_exactly(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        view = view[sock.recv_into(view) :]
    return data


def records(sock: socket.socket, count: int):
    """Yield the bytes of each read, cut behind its last whole message, until `count` messages came."""
    size = HEADER.size + RECORD
    buffer = b""
    while count:
        buffer += sock.recv(65536)
        whole = len(buffer) // size
        for at in range(0, whole * size, size):
            what, length = HEADER.unpack_from(buffer, at)
            assert what == MESSAGE and length == RECORD
        yield buffer[: whole * size]
        buffer = buffer[whole * size :]
        count -= whole


def serve(sock: socket.socket) -> None:
    """Answer until the other end closes, in a process of its own."""
    while True:
        head = sock.recv(HEADER.size, socket.MSG_WAITALL)
        if not head:
            return
        what, size = HEADER.unpack(head)
        if what == STREAM:
            for data in records(sock, size):
                sock.sendall(data)
            continue
        data = read_exactly(sock, size)
        if what == BATCH:
            data = pickle.dumps([(number, f(*args)) for number, f, args in pickle.loads(data)])
            sock.sendall(HEADER.pack(BATCH, len(data)) + data)
        else:
            sock.sendall(HEADER.pack(what, size) + data)


class Peer(CarriesBulk, Base):
    name = "limit: blocking socket"

    def start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.workers = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(WORKERS):
                sock = socket.create_connection(listener.getsockname())
                theirs, _ = listener.accept()
                for end in (sock, theirs):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                process = context.Process(target=serve, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
                self.workers.append((process, sock))
        self.sock = self.workers[0][1]

    def first(self) -> None:
        self.round_trips(1)

    def tiny_tasks(self, n: int) -> None:
        batches = [range(at, min(at + BATCH_TASKS, n)) for at in range(0, n, BATCH_TASKS)]
        results: list[list[tuple[int, int]]] = [[] for _ in batches]

        def drive(sock: socket.socket, numbers: range) -> None:
            for number in numbers:
                data = pickle.dumps([(task, same, (task,)) for task in batches[number]])
                sock.sendall(HEADER.pack(BATCH, len(data)) + data)
                _, size = HEADER.unpack(read_exactly(sock, HEADER.size))
                results[number] = pickle.loads(read_exactly(sock, size))

        threads = [
            threading.Thread(target=drive, args=(sock, range(index, len(batches), WORKERS)))
            for index, (_, sock) in enumerate(self.workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check([value for batch in results for _, value in batch], n)

    def one_by_one(self, n: int) -> None:
        self.round_trips(n)

    def round_trips(self, n: int) -> None:
        message = HEADER.pack(MESSAGE, RECORD) + bytes(RECORD)
        for _ in range(n):
            self.sock.sendall(message)
            read_exactly(self.sock, len(message))

    def streamed(self, n: int) -> None:
        message = HEADER.pack(MESSAGE, RECORD) + bytes(RECORD)

        def write() -> None:
            self.sock.sendall(HEADER.pack(STREAM, n))
            for at in range(0, n, CHUNK):
                self.sock.sendall(b"".join(message for _ in range(min(CHUNK, n - at))))

        writer = threading.Thread(target=write)
        writer.start()
        for _ in records(self.sock, n):
            pass
        writer.join()

    def there_and_back(self, data):
        view = memoryview(data)
        self.sock.sendall(HEADER.pack(BULK, len(view)))
        self.sock.sendall(view)
        read_exactly(self.sock, HEADER.size)
        return read_exactly(self.sock, len(view))

    def stop(self) -> None:
        for process, sock in self.workers:
            sock.close()
            process.terminate()
            process.join()
