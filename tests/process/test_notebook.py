"""Notebooks: cells that await, wait and show, in a real Jupyter kernel."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest

from tests.helpers import ROOT, Finished, run_python, unavailable

pytestmark = pytest.mark.row("DC-60", "DC-66")

# What each test runs beside its own cells: `run(cell)` gives the messages that the cell sends.
KERNEL = """
import psutil
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel()

def run(code):
    status = "aborted"  # as what comes too soon after a failure
    while status == "aborted":
        shown = []
        reply = client.execute_interactive(code, output_hook=shown.append, timeout=30)
        status = reply["content"]["status"]
    assert status == "ok", reply
    return shown

def htmls(messages, *kinds):
    return [m["content"]["data"].get("text/html", "") for m in messages if m["msg_type"] in kinds]

def pictures(messages):
    return htmls(messages, "display_data", "update_display_data")

def value(messages):
    (data,) = [m["content"]["data"] for m in messages if m["msg_type"] == "execute_result"]
    return data

def printed(messages):
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")

def below():
    return psutil.Process(manager.provisioner.pid).children(recursive=True)

try:
    CELLS
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""

START = """
import asyncio, time, dispycos
from dispycos import Client, LocalCluster
cluster = LocalCluster(2).start()
client = Client()
await client.schedule()
def waits(n):
    time.sleep(0.02)
    return n
"""


def listings(part: str) -> list[str]:
    """The Python of one part of docs/notebooks.md."""
    page = (ROOT / "docs" / "notebooks.md").read_text()
    _, _, text = page.partition(f"\n## {part}\n")
    return re.findall(r"```python\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)


def in_kernel(cells: str, folder: Path) -> list[str]:
    """The lines that a program with these calls of `run` prints."""
    if importlib.util.find_spec("ipykernel") is None:
        unavailable("notebook", "ipykernel is not installed")
    env = {"IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder), "PYTHONWARNINGS": "ignore"}
    source = KERNEL.replace("CELLS", cells.strip().replace("\n", "\n    "))
    done: Finished = run_python(source, timeout=100, env=env)
    assert done.code == 0, done.err
    return done.out.splitlines()


def test_cells_await_wait_and_show(tmp_path: Path) -> None:
    cells = f"""
run('''{START}''')
print(value(run("await client.submit(waits, 7)"))["text/plain"])
print(value(run("client.submit(waits, 8).result()"))["text/plain"])
print(value(run("[n async for n in client.map(waits, range(3))]"))["text/plain"])
print(value(run("await (await client.rtask(lambda: (yield))).result()"  # a task of one's own
                ", list(client.map(abs, [-1]))"))["text/plain"])

# A name that is defined anew is new there, too.
run("def again(): return 1")
run("assert await client.submit(again) == 1")
run("def again(): return 2")
print(value(run("await client.submit(again)"))["text/plain"])

# What a cell shows of each of them.
shown = value(run("client"))
print(shown["text/plain"].split(",")[0], "<b>Client</b> scheduled" in shown["text/html"])
print(value(run("cluster"))["text/html"].count("<tr"), value(run("cluster"))["text/plain"].split(",")[0])
print("waits" in value(run("client.submit(waits, 1)"))["text/html"])
print("<b>Task</b> again" in value(run("client.submit(again).task"))["text/html"])
print("<b>ClientExecutor</b> open" in value(run("client.executor()"))["text/html"])

# A bar that moves in one place, and goes on after its cell.
run("def all(): return [client.submit(waits, n) for n in range(50)]")
for wait in ("dispycos.progress(all(), 'waited').result()", "await dispycos.progress(all(), 'waited')"):
    waited = run(f"done = {{wait}}")
    assert printed(waited) == "", printed(waited)
    waited, places = pictures(waited), htmls(waited, "display_data")
    print(waited[0])
    print(2 < len(waited) <= 12, len(places), waited[-1].partition(" · ")[0])
shown = pictures(run("dispycos.progress(all(), 'shown')"))
print(shown[0])
while "50 of 50" not in shown[-1]:
    shown += pictures([client.get_iopub_msg(timeout=20)])
print(len(shown) > 2, shown[-1].partition(" · ")[0])

run("assert await client.close() == 0; cluster.close()")
print(len(below()))

# The cells of docs/notebooks.md, in their order.
shown = [run(cell) for cell in {listings("Notebooks")!r}]
print(value(shown[1])["text/plain"], len(pictures(shown[2])) > 0, len(below()))
"""
    assert in_kernel(cells, tmp_path) == [
        "7",
        "8",
        "[0, 1, 2]",
        "(None, [1])",
        "2",
        "<Client: scheduled True",
        "2 <LocalCluster: open",
        "True",
        "True",
        "True",
        '<div>waited <progress max="1" value="0.0000"></progress> 0 of 50</div>',
        'True 1 <div>waited <progress max="1" value="1.0000"></progress> 50 of 50',
        '<div>waited <progress max="1" value="0.0000"></progress> 0 of 50</div>',
        'True 1 <div>waited <progress max="1" value="1.0000"></progress> 50 of 50',
        '<div>shown <progress max="1" value="0.0000"></progress> 0 of 50</div>',
        'True <div>shown <progress max="1" value="1.0000"></progress> 50 of 50',
        "0",
        "[0, 1, 4, 9, 16] True 0",
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("asyncio", ["49", "[0, 1, 4, 9, 16]", "done: True", "done: True"]),
        ("joblib", ["[0, 1, 4, 9, 16]"]),
        ("Notebooks", ["[0, 1, 4, 9, 16]"]),  # its cells, as an asyncio program
    ],
)
def test_the_programs_of_the_page_run_as_they_stand(part: str, expected: list[str], tmp_path: Path) -> None:
    program = "\n".join(listings(part))
    if part == "Notebooks":
        shown = program.replace(
            "await client.map(square, range(5))", "print(await client.map(square, range(5)))"
        )
        program = (
            f"import asyncio\nasync def cells():\n{textwrap.indent(shown, '    ')}\nasyncio.run(cells())"
        )
    code, out, err = run_python(program, cwd=tmp_path)
    assert (code, out.splitlines()) == (0, expected), err


@pytest.mark.long("a kernel of its own, interrupted and restarted: some 10 s")
def test_a_cell_is_interrupted_and_a_kernel_is_restarted(tmp_path: Path) -> None:
    cells = f"""
run('''{START}''')
for wait in ("await it", "it.result()"):
    run("it = client.submit(lambda task=None: (yield task.sleep(60)))")
    client.execute(wait)
    while (now := client.get_iopub_msg(timeout=20))["content"].get("code") != wait:
        pass
    manager.interrupt_kernel()
    client.kernel_info()  # a loop that only waits hears of the signal with its next message
    while (now := client.get_iopub_msg(timeout=20))["msg_type"] != "error":
        pass
    print(now["content"]["ename"])
    run("it.cancel()")
    print(value(run("str(it.exception()).partition('; ')[0]"))["text/plain"])
print(value(run("await client.submit(waits, 9)"))["text/plain"])
left = below()
manager.restart_kernel(now=True)
gone, alive = psutil.wait_procs(left, 10)
print(len(left) > 2, alive)
client.wait_for_ready(20)
run('''{START}''')
print(value(run("await client.submit(waits, 10)"))["text/plain"])
"""
    assert in_kernel(cells, tmp_path) == [
        "CancelledError",
        "'cancelled by asyncio: what awaited it was cancelled'",
        "KeyboardInterrupt",
        "'cancelled by the program, which called cancel()'",
        "9",
        "True []",
        "10",
    ]
