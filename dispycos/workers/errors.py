"""What can go wrong with a pool of workers, beside what a job itself raises.

Layer 7. Rows CW-06, CW-17.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from dispycos.errors import DispycosError, PeerLost, TaskLost


class NoMaster(DispycosError, ConnectionError):
    """No master answered, or it refused us; the text says where it was looked for and what was found."""


class MasterLost(PeerLost, BrokenExecutor):
    """The master is gone, and with it the jobs that had not ended; connect to another one."""


class WorkerLost(TaskLost):
    """The worker that ran the job is gone; the text names it and says why."""


class RemoteException(Exception):
    """A job of a ClientThread failed; the text is its traceback, and `jobid` says which it was.

    What it raised is the `__cause__`.
    """

    def __init__(self, text: str, jobid: object = None) -> None:
        super().__init__(text)
        self.jobid = jobid
