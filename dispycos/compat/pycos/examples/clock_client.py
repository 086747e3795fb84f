"""Calls the service of clock_service.py, which runs on this network.

    python -m dispycos.compat clock_client.py

prints

    01:00:01 is second 3601
    noon: ValueError
"""

import pycos
import pycos.netpycos


def ask(task=None):
    service = yield pycos.RPS.locate("seconds_of", timeout=10)
    if not isinstance(service, pycos.RPS):
        print("there is no clock")
        return
    service.monitor(task)
    for text in ("01:00:01", "noon"):
        rtask = yield service(text)
        status = yield task.receive(timeout=10)
        if status.info != rtask:
            print("somebody else's status")
        elif status.type == StopIteration:
            print("%s is second %s" % (text, status.value))
        else:
            print("%s: %s" % (text, status.type.__name__))


if __name__ == "__main__":
    pycos.Pycos(name="asks", secret="the clock's secret")
    pycos.Task(ask)
