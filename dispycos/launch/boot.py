# mypy: ignore-errors
# What a bare Python runs first: it reads who we are, takes in what travels with us, and goes on there.
#
# This file is sent as text and run by whatever Python answers, so its first lines keep to what any
# version understands. Nothing imports it.

import os
import sys

ORDER = eval(getattr(sys.stdin, "buffer", sys.stdin).readline())  # a dict that our own side wrote


def say(text):
    data = (ORDER["token"] + " " + text + "\n").encode("ascii", "replace")
    while data:
        data = data[os.write(WRITER, data) :]


# What the user's code prints goes where errors go: the stream is ours.
READER, WRITER = os.dup(0), os.dup(1)
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
    from importlib.machinery import ModuleSpec

    class Travelled:
        # Imports the modules that came with us.
        def __init__(self, sources):
            self.sources = sources

        def find_spec(self, name, path=None, target=None):
            found = self.sources.get(name)
            if found is None:
                if name.partition(".")[0] == "dispycos":
                    raise ModuleNotFoundError(name + " is not among what travelled here", name=name)
                return None
            spec = ModuleSpec(name, self, origin=self.place(name), is_package=found[0])
            spec.has_location = False
            return spec

        def create_module(self, spec):
            return None

        def exec_module(self, module):
            name = module.__spec__.name
            exec(compile(self.sources[name][1], self.place(name), "exec", dont_inherit=True), module.__dict__)

        def get_source(self, name):
            return self.sources[name][1]

        def place(self, name):
            return "<travelled>/" + name.replace(".", "/") + ".py"

    sys.meta_path.insert(0, Travelled(eval(zlib.decompress(SOURCES))))
del SOURCES

sys.dont_write_bytecode = bool(sys.dont_write_bytecode or ORDER["options"].get("dont_write_bytecode"))
MAIN = __import__(ORDER["main"], fromlist=["main"]).main
if ORDER["path"]:
    sys.path.remove(ORDER["path"])
say("ready")
MAIN(READER, WRITER, ORDER["options"])
