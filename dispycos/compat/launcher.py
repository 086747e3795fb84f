"""Running a pycos program as the main program of this process.

I/O half. Layer 7. Row CO-01.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from dispycos.compat import aliases, logger


def run(path: str, source: bytes, arguments: Sequence[str]) -> None:
    """Run the program that was read from `path` as `python path arguments` would, with our pycos.

    Answers when its main module has ended; tasks go on after that. What it raises is raised.
    """
    aliases.install()
    logger.carry()
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=__builtins__, __spec__=None, __cached__=None)
    sys.argv[:] = [path, *arguments]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    sys.modules["__main__"] = main
    _hide_ourselves()
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)


def _hide_ourselves() -> None:
    """Let tracebacks of the program begin with its own lines."""
    hook = sys.excepthook

    def trimmed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next
        return hook(kind, error.with_traceback(trace), trace)

    sys.excepthook = trimmed


def _is_ours(path: str) -> bool:
    here = os.path.dirname(__file__)
    return path.startswith("<frozen runpy>") or os.path.dirname(os.path.abspath(path)) == here
