"""pytest-xdist, which knows nothing of us, over our gateways: a whole program of others' as a proof.

`shim/` holds a module named execnet, which is dispycos.gateways under that name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers import ROOT

SHIM = Path(__file__).parent / "shim"
PROGRAM = """
import sys
import execnet
import pytest
assert execnet.Group.__module__ == "dispycos.gateways.group"
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.long("it is a whole test run of its own")
@pytest.mark.timeout(300)
def test_tests_run_in_two_processes_as_they_do_in_one(run_python):
    pytest.importorskip("xdist")
    files = [str(ROOT / "tests" / "unit" / name) for name in ("test_records.py", "net/test_auth.py")]
    path = os.pathsep.join([str(SHIM), str(ROOT)])
    code, out, err = run_python(
        PROGRAM, "-n2", "-v", "-p", "no:cacheprovider", *files, timeout=200, env={"PYTHONPATH": path}
    )
    assert code == 0, out + err
    assert "[gw0]" in out and "[gw1]" in out and "failed" not in out
    alone, told, err = run_python(PROGRAM, "-q", "-n0", "--co", *files, timeout=100, env={"PYTHONPATH": path})
    assert alone == 0, told + err
    ids = [line for line in told.splitlines() if "::" in line]
    assert len(ids) > 20 and f"{len(ids)} passed" in out
