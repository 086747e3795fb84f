"""A peer's process, seen from outside: it is asked, answers in time or is given up, and ends whole."""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

STOP_LIMIT = 15.0  # seconds; what a peer started is killed then


class Failed(Exception):
    """A peer did not do what it was asked; the text says what happened."""


class Runner:
    """A peer's process, seen from here.

    tree  the checkout that its dispycos comes from; None: this one.
    """

    def __init__(self, module: str, tree: Path | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.runner", module, *([str(tree)] if tree else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def ask(self, limit: float, **command: Any) -> dict[str, Any]:
        """Have one command done; Failed with the reason if it isn't, or not in `limit` seconds."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(limit):
                raise Failed(f"{command['do']} took more than {limit:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"its process ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    @property
    def pid(self) -> int:
        return self._process.pid

    def _last_words(self) -> str:
        self._process.wait(5)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"exit status {self._process.returncode}"

    def close(self) -> None:
        """Stop the peer; then end every process that it started."""
        family = self._family()
        with contextlib.suppress(Failed, OSError):
            self.ask(STOP_LIMIT, do="stop")
        # Stopped, it can't have children that we don't see.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)
        for process in {*family, *self._family()}:
            # psutil refuses if the number was given out anew since.
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _family(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
