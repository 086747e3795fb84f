# mypy: ignore-errors
# Imports modules whose sources came along: the first half of what a bare Python runs, before `boot`,
# and of a socket server's script. It is sent as text; nothing imports it. Any Python must be able to
# compile it, so that a too old one can say that it is.


class Travelled:
    # sources: a dict from names to (is a package, source)
    def __init__(self, sources):
        # Before anything is asked of us: an import of it would ask us again.
        from importlib.machinery import ModuleSpec

        self.sources = sources
        self.spec = ModuleSpec

    def find_spec(self, name, path=None, target=None):
        found = self.sources.get(name)
        if found is None:
            if name.partition(".")[0] == "dispycos":
                raise ModuleNotFoundError(name + " is not among what travelled here", name=name)
            return None
        spec = self.spec(name, self, origin=self.place(name), is_package=found[0])
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
