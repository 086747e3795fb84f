"""Each example runs as it stands and prints what its docstring says."""

from __future__ import annotations

import ast
import re
import secrets
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT, background, run_python
from tests.process.daemons import free_ports

FOLDER = ROOT / "examples"
# Those of the founding document have tests of their own, in test_examples_*.py.
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("dispycos_"))
TASKS = [path for path in sorted(FOLDER.glob("*.py")) if "Task(main" in path.read_text()]
ALONE = [path for path in EXAMPLES if path.name not in ("by_hand.py", "easycluster_connect.py")]


def expected(path: Path) -> str:
    """What stands after "prints" in the docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    _, _, output = text.partition("\nprints")
    output = output.partition("\n")[2]
    assert output.strip(), f"{path.name} does not say what it prints"
    return "".join(line.removeprefix("    ") + "\n" for line in output.strip("\n").splitlines())


@pytest.mark.row("RP-23")
@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.stem)
def test_an_example_prints_what_it_says(path, tmp_path):
    code, out, err = run_python(path, timeout=40, cwd=tmp_path)
    lines = expected(path).splitlines()
    if "beside" in path.read_text():
        # Servers print what they log among what their tasks print.
        out = "".join(f"{line}\n" for line in out.splitlines() if line in lines)
    assert (code, out.splitlines()) == (0, lines), err


@pytest.mark.row("KE-27")
@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_an_example_exits_with_what_its_main_task_says(path):
    assert re.search(r"^ +sys\.exit\(Task\(main\b.*\)\.value\(\)\)$", path.read_text(), re.MULTILINE)


@pytest.mark.row("KE-27")
def test_an_example_whose_main_task_fails_exits_with_1():
    path = FOLDER / "messages.py"
    broken = "def main(*args, task=None):\n    yield\n    raise ValueError('broken')\n\n\n"
    source = path.read_text().replace("if __name__", f"{broken}if __name__")
    code, _, err = run_python(source, timeout=40)
    assert code == 1, err
    # One line says how it ended, after the traceback in the log.
    assert err.splitlines()[-1] == "main/1: ValueError: broken"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_shows_its_command(path):
    text = path.read_text()
    said = ast.get_docstring(ast.parse(text))
    assert said
    if path.stem.endswith("_proc"):
        assert path.stem.removesuffix("_proc") in said, "it does not say which example runs it"
        return
    assert f"python examples/{path.name}" in said
    code = [line for line in text.replace(said, "").splitlines() if line.strip()]
    most = 140 if path.stem.endswith("_demo") else 70  # which shows all of its subject
    assert 15 <= len(code) <= most


def test_the_table_of_the_examples_names_each_of_them():
    table = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.py"):
        assert f"| `{path.name}` |" in table


@pytest.mark.row("DS-22", "DN-01", "DC-05")
def test_a_program_uses_a_node_that_was_started_by_hand(tmp_path):
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32) + "\n")
    key.chmod(0o600)
    env = {"DISPYCOS_SECRET_FILE": str(key), "TMPDIR": str(tmp_path)}
    node = [
        sys.executable, "-m", "dispycos.node", "--cpus", "2", "--host", "127.0.0.1", "--udp_port", "0",
        "--tcp_ports", str(free_ports(3)), "--dest_path", str(tmp_path / "node"), "--daemon",
    ]  # fmt: skip
    with background(node, env=env) as program:
        where = program.wait_line("ready at").split("ready at ")[1].split()[0]
        path = FOLDER / "by_hand.py"
        code, out, err = run_python(path, where, env=env, timeout=40)
        assert (code, out) == (0, expected(path)), err + program.output
