"""Install dispycos. Everything declarative stands in pyproject.toml.

What stands here are the program files that the founding document's users type, `dispycos.py`
and `dispycosnode.py`: pip installs them beside the commands of those names.
"""

from setuptools import setup

setup(scripts=["dispycos/data/dispycos.py", "dispycos/data/dispycosnode.py"])
