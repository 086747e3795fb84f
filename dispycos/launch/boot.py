# mypy: ignore-errors
# What a bare Python runs first, behind `travelled`: it reads who we are, takes in what travels with
# us, and goes on there.
#
# This file is sent as text and run by whatever Python answers, so its first lines keep to what any
# version understands. Nothing imports it.

import os
import sys

ORDER = eval(getattr(sys.stdin, "buffer", sys.stdin).readline())  # a dict that our own side wrote


def say(text):
    data = (ORDER["token"] + " " + " ".join(text.split()) + "\n").encode("ascii", "backslashreplace")
    while data:
        data = data[os.write(WRITER, data) :]


# What the user's code prints goes where errors go: the stream is ours. A socket server gives its
# connection as the output, and this program as a file.
WRITER = os.dup(1)
READER = WRITER if ORDER["duplex"] else os.dup(0)
SOURCES = getattr(sys.stdin, "buffer", sys.stdin).read(ORDER["size"])
NULL = os.open(os.devnull, os.O_RDWR)
os.dup2(NULL, 0)
os.close(NULL)
os.dup2(2, 1)

if sys.version_info < (3, 11):
    say("python %d.%d" % sys.version_info[:2])
    sys.exit(1)

if ORDER["path"]:
    # The same interpreter on the same machine: it has the package already.
    sys.path.insert(0, ORDER["path"])
else:
    import zlib

    sys.meta_path.insert(0, Travelled(eval(zlib.decompress(SOURCES))))  # noqa: F821  of `travelled`
del SOURCES

sys.dont_write_bytecode = bool(sys.dont_write_bytecode or ORDER["options"].get("dont_write_bytecode"))
MODULE = __import__(ORDER["main"], fromlist=["main"])
if ORDER["path"]:
    sys.path.remove(ORDER["path"])
try:
    MODULE.settle(ORDER["options"])
except (OSError, ValueError) as exc:
    say("unsettled " + str(exc))
    sys.exit(1)
say("ready")
MODULE.main(READER, WRITER, ORDER["options"])
