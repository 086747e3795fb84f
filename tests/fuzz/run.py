"""Fuzzing: anything, to whatever reads bytes or texts of others (make fuzz).

    python -m tests.fuzz.run [--seconds S] [TARGET ...]     (make fuzz SECONDS=S)
    python -m tests.fuzz.run --repeat FILE TARGET

Guided by coverage where atheris is installed, else by Hypothesis; so many seconds for each target, two
at a time on two processors. What atheris learned is kept in build/fuzz/TARGET, and is where the next run
begins. An input that fails is kept as build/fuzz/TARGET-crash-...; put it into tests/fuzz/crashes/TARGET
when it is mended: the tests repeat what stands there. Exit code 1 if any target failed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / "build" / "fuzz"
SECONDS = 120.0
MAX_RESIDENT = 1024  # MB of a process that fuzzes: what it learns is some of it
AT_ONCE = 100  # inputs of Hypothesis between two looks at the clock
TOLD = 30  # lines of what a target that failed has printed


def guided(name: str, seconds: float) -> None:
    """Fuzz one target by coverage; ends this process."""
    atheris: Any = importlib.import_module("atheris")
    # Only what is imported here is watched, so nothing of ours was before.
    with atheris.instrument_imports(include=["dispycos"]):
        targets: Any = importlib.import_module("tests.fuzz.targets")
    target = targets.TARGETS[name]
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    options = {
        "max_total_time": int(seconds),
        "max_len": targets.MAX_INPUT,
        "timeout": int(targets.MAX_SECONDS),
        "rss_limit_mb": MAX_RESIDENT,
        "artifact_prefix": f"{KEPT}/{name}-",
        "print_final_stats": 1,
    }
    words = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], *words, str(corpus)], target.run)
    atheris.Fuzz()


def unguided(name: str, seconds: float) -> None:
    """Fuzz one target by Hypothesis: good inputs with some of their bytes changed, and any."""
    import hypothesis
    from hypothesis import strategies as st

    from tests.fuzz.targets import TARGETS, check

    target = TARGETS[name]
    end, runs = time.monotonic() + seconds, 0
    changes = st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(max_size=4), st.integers(0, 4)), max_size=6
    )

    def changed(seed: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
        for place, new, dropped in edits:
            at = place % (len(seed) + 1)
            seed = seed[:at] + new + seed[at + dropped :]
        return seed

    inputs = st.binary(max_size=4096) | st.builds(changed, st.sampled_from(target.seeds), changes)

    @hypothesis.settings(
        max_examples=AT_ONCE, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(inputs)
    def one(data: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            check(target, data)
        except Exception:
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{name}-crash-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    while time.monotonic() < end:
        one()
    print(f"Done {runs} runs")


def fuzz(name: str, seconds: float) -> bool:
    """One target in a process of its own; says how it ended, and whether well."""
    command = [sys.executable, "-m", "tests.fuzz.run", "--one", "--seconds", str(seconds), name]
    # In memory where there is some; removed here, because atheris ends its process without a clean-up.
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dispycos-fuzz-", dir=where) as folder:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    lines = (ended.stdout + ended.stderr).splitlines()
    runs = next((line for line in reversed(lines) if line.startswith("Done ")), "")
    if ended.returncode == 0 and runs:
        print(f"fuzz: {name}: {runs.removeprefix('Done ')}, nothing found", flush=True)
        return True
    print(*lines[-TOLD:], f"fuzz: {name} failed; what did it is in {KEPT}", sep="\n", flush=True)
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each target")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="one input, and nothing else")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # in this process
    options = parser.parse_args(arguments)
    by_coverage = importlib.util.find_spec("atheris") is not None
    if options.one:
        (guided if by_coverage else unguided)(options.targets[0], options.seconds)
        return 0
    from tests.fuzz.targets import TARGETS, check

    names = options.targets or list(TARGETS)
    if strange := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no target {strange[0]!r}, only {', '.join(TARGETS)}")
    if options.repeat is not None:
        check(TARGETS[names[0]], options.repeat.read_bytes())
        return 0
    how = "by coverage" if by_coverage else "by Hypothesis (install atheris to be guided by coverage)"
    print(f"fuzz: {len(names)} targets, {options.seconds:g} s each, {how}", flush=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ends = list(pool.map(lambda name: fuzz(name, options.seconds), names))
    return 0 if all(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
