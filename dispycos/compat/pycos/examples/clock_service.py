"""A service that others call by name; see clock_client.py. It ends when it reads a line.

python -m dispycos.compat clock_service.py
"""

import time

import pycos
import pycos.netpycos


def seconds_of(text, task=None):
    yield task.sleep(0.01)
    moment = time.strptime(text, "%H:%M:%S")
    return moment.tm_hour * 3600 + moment.tm_min * 60 + moment.tm_sec


if __name__ == "__main__":
    pycos.Pycos(name="clock", secret="the clock's secret")
    service = pycos.RPS(seconds_of)
    service.register()
    print("the clock is at %s" % pycos.Pycos.instance().location, flush=True)
    input()
    service.close()
