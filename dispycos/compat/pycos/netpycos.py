"""What `import pycos.netpycos` gives: all of pycos, and tasks of other processes.

It extends the module `pycos` in place, so that programs may use either.
"""

import sys as _sys

from dispycos.compat import network as _network
from dispycos.compat import rps as _rps
from dispycos.compat import systask as _systask
from dispycos.compat import values as _values
from dispycos.pycos import PeerStatus as _PeerStatus

from . import __all__ as _all

_pycos = _sys.modules[__package__]

vars(_pycos).update(
    Pycos=_network.Pycos,
    SysTask=_systask.SysTask,
    RPS=_rps.RPS,
    RTI=_rps.RPS,  # its earlier name
    PeerStatus=_PeerStatus,
)
globals().update({_name: _value for _name, _value in vars(_pycos).items() if not _name.startswith("_")})

__all__ = [*_all, "RPS", "RTI", "PeerStatus"]  # noqa: F822 - they are put here just above

_sys.modules[__name__].__class__ = _values.Program
_network.start_with_first_task()
