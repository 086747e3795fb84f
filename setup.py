"""Install dispycos. Everything declarative stands in pyproject.toml.

What stands here are the program files that the founding document's users type,
`dispycos.py` and `dispycosnode.py`: pip installs them beside the commands; and the examples,
which it installs below the package, where those users look for them.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithExamples(build_py):
    """Builds the package with `dispycos/examples`, which is no part of the package in the sources."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # they are where they are edited
        folder = Path(self.build_lib, "dispycos", "examples")
        folder.mkdir(parents=True, exist_ok=True)
        for file in [*Path("examples").glob("*.py"), *Path("examples").glob("*.md")]:
            self.copy_file(str(file), str(folder / file.name))


setup(
    scripts=["dispycos/data/dispycos.py", "dispycos/data/dispycosnode.py"],
    cmdclass={"build_py": BuildWithExamples},
)
