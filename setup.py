"""Install dispycos. Everything declarative stands in pyproject.toml.

What stands here is the program file that the founding document's users type,
`dispycosnode.py`: pip installs it beside the `dispycosnode` command.
"""

from setuptools import setup

setup(scripts=["dispycos/data/dispycosnode.py"])
