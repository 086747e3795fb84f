"""What `import pycos.config` gives: settings that a program may change before its first task."""

import sys

from dispycos.compat import settings

settings.fill(globals())
sys.modules[__name__].__class__ = settings.Settings
