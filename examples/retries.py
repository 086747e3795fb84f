"""A server dies under a task: the task is tried again elsewhere, because the program says that it may.

    python examples/retries.py

prints

    measured 21 at the second attempt
    without retries it is lost, and the text says how: True
"""

import os
import sys
import tempfile

from dispycos import Client, LocalCluster, Task, TaskLost


def measure(ledger, task=None):
    # Each attempt leaves a line. The first one takes its server along, as a crash in a library would.
    with open(ledger, "a") as file:
        file.write("begun\n")
    yield
    with open(ledger) as file:
        attempts = len(file.readlines())
    if attempts == 1:
        os._exit(3)
    return 21, attempts


def main(ledger, task=None):
    client = Client([measure])
    yield client.schedule()

    patient = client.options(retries=2, timeout=60)  # the same client, for tasks that may begin again
    rtask = yield patient.rtask(measure, ledger)
    value, attempts = yield rtask.result()
    print(f"measured {value} at the {['first', 'second', 'third'][attempts - 1]} attempt")

    os.truncate(ledger, 0)
    rtask = yield client.rtask(measure, ledger)
    try:
        yield rtask.result()
    except TaskLost as error:
        print("without retries it is lost, and the text says how:", "exit code 3" in str(error))
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(2), tempfile.NamedTemporaryFile() as ledger:
        sys.exit(Task(main, ledger.name).value())
