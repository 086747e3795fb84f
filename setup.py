"""Install dispycos. Everything declarative stands in pyproject.toml.

What stands here are the program files that the founding document's users type, `dispycos.py` and
`dispycosnode.py`: pip installs them beside the commands; what is no part of the package in the sources and
lies below it when it is installed: the examples, where those users look for them, and pages for `dispycos
help`; and the pages of the manual, which are made of the commands' own parsers.
"""

import subprocess
import sys
from pathlib import Path

from setuptools import setup  # before distutils, which it brings
from setuptools.command.build_py import build_py

from distutils.command.install_data import install_data  # isort: skip

# What goes below the package; of the pages those that `dispycos help` shows.
BESIDE = {
    "examples": ("*.py", "*.md"),
    "docs": (
        *("howto/*.md", "coming/*.md", "engines.md", "launching.md", "monitor.md", "monitor-wire.md"),
        *("reliability.md", "security.md"),
    ),
}


class BuildWithNeighbours(build_py):
    """Builds the package with `dispycos/examples` and `dispycos/docs`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # they are where they are edited
        for name, patterns in BESIDE.items():
            for file in (file for pattern in patterns for file in Path(name).glob(pattern)):
                target = Path(self.build_lib, "dispycos", file)
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(file), str(target))


class InstallWithManual(install_data):
    """Installs a page of the manual for each command, where `man` looks for those of a prefix."""

    def run(self) -> None:
        super().run()
        folder = Path(self.install_dir, "share", "man", "man1")
        made = subprocess.run([sys.executable, "-m", "dispycos.commands.manual", str(folder)], check=False)
        if made.returncode:
            # Whoever builds without isolation may lack what the package needs. It works without.
            self.warn("no pages of the manual: what dispycos needs must be there when they are made")
        self.outfiles += map(str, sorted(folder.glob("*.1")))


setup(
    scripts=["dispycos/data/dispycos.py", "dispycos/data/dispycosnode.py"],
    data_files=[("share/man/man1", [])],
    cmdclass={"build_py": BuildWithNeighbours, "install_data": InstallWithManual},
)
