"""Files are sent to servers of a cluster, which count the letters of their longest words.

    python -m dispycos.compat word_lengths.py FILE...

Wants a node (`dispycosnode`) on this machine or network.
"""


def longest(name, reply, task=None):
    # Runs on a server: `os` and `pycos` are there without an import.
    with open(name) as file:
        words = file.read().split()
    os.remove(name)
    yield task.sleep(0.1)
    reply.send((name, max(map(len, words)), isinstance(reply, pycos.Task)))
    raise StopIteration(len(words))


def use_server(location, path, task=None):
    name = os.path.basename(path)
    if (yield pycos.Pycos().send_file(location, path, overwrite=True, timeout=5)) < 0:
        print("%s was not sent to %s" % (path, location))
        return
    rtask = yield client.rtask_at(location, longest, name, task)
    name, letters, is_task = yield task.receive()
    words = yield rtask.finish()
    print("%s: %s words, the longest has %s letters (%s)" % (name, words, letters, is_task))


def main(files, task=None):
    client.status_task = task
    if (yield client.schedule()):
        raise Exception("there is no scheduler")
    users = []
    while files:
        status = yield task.receive()
        if isinstance(status, DispycosStatus) and status.status == Scheduler.ServerInitialized:
            users += [pycos.Task(use_server, status.info, files.pop(0))]
    for user in users:
        yield user()
    yield client.close()


if __name__ == "__main__":
    import os
    import sys

    import pycos
    import pycos.netpycos
    from pycos.dispycos import Client, DispycosStatus, Scheduler

    client = Client([longest])
    pycos.Task(main, sys.argv[1:])
