"""What calls and services are made easier by, under the name that RPyC's programs import."""

from dispycos.rpc.asynchronous import async_, timed
from dispycos.rpc.background import BgServingThread
from dispycos.rpc.buffering import buffiter
from dispycos.rpc.restriction import restricted
from dispycos.rpc.services import classpartial

__all__ = ["BgServingThread", "async_", "buffiter", "classpartial", "restricted", "timed"]
