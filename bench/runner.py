"""One peer in a process of its own: `python -m bench.runner MODULE [TREE]`, driven by the harness.

Reads one JSON command a line on standard input, answers one JSON object a line on standard
output. What the peer itself prints goes to standard error, so it can't get between.

    {"do": "start"}                              {"seconds": 0.31}   to the first result
    {"do": "run", "method": "tiny_tasks", "n": 9}  {"seconds": 0.02, "value": null}
    {"do": "stop"}                               {}
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any


def main(module: str, tree: str = "") -> None:
    if tree:  # of which dispycos is to come; this package stays what it is
        sys.path.insert(0, tree)
        os.environ["PYTHONPATH"] = tree
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.set_inheritable(answers.fileno(), False)
    os.dup2(2, 1)
    peer = importlib.import_module(f"bench.peers.{module}").Peer()
    if peer.module:
        importlib.import_module(peer.module)
    for line in sys.stdin:
        try:
            answer = obey(peer, json.loads(line))
        except Exception as exc:
            traceback.print_exc()
            answer = {"error": f"{type(exc).__name__}: {exc}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)
    # Not by way of atexit: some peers' hooks wait for threads that have ended.
    os._exit(0)


def obey(peer: Any, command: dict[str, Any]) -> dict[str, Any]:
    """Carry out one command of the harness."""
    value = None
    began = time.perf_counter()
    match command["do"]:
        case "start":
            peer.start()
            peer.first()
        case "run":
            value = getattr(peer, command["method"])(command["n"])
        case "stop":
            peer.stop()
    return {"seconds": time.perf_counter() - began, "value": value}


if __name__ == "__main__":
    main(*sys.argv[1:])
