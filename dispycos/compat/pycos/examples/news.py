"""A channel brings what is sent to it to every subscriber.

    python -m dispycos.compat news.py

prints

    Ann: SUN
    Ben: SUN
    2 have the news
    Ann: RAIN
    Ben: RAIN
"""

import pycos


def reader(name, task=None):
    while True:
        news = yield task.receive()
        if news is None:
            break
        print("%s: %s" % (name, news))


def main(task=None):
    channel = pycos.Channel("news", transform=lambda name, text: text.upper())
    readers = [pycos.Task(reader, name) for name in ("Ann", "Ben")]
    for one in readers:
        yield channel.subscribe(one)
    print("%s have the news" % (yield channel.deliver("sun", timeout=5, n=2)))
    channel.send("rain")
    for one in readers:
        one.send(None)


if __name__ == "__main__":
    pycos.Task(main)
