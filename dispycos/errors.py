"""Every exception that dispycos raises, grouped by whose fault it is.

A text says what was tried, what was found and what to do, in lower case, and names the
peer; it never holds a secret or a payload.

Pure. Layer 0.
"""

from __future__ import annotations


class DispycosError(Exception):
    """Base of every exception defined by dispycos."""


# The caller's fault.


class LocalProtocolError(DispycosError):
    """The local program asked for something that the state of the object does not allow."""


class Closed(LocalProtocolError):
    """The object was closed by this program before the call."""


class MessageTooLarge(LocalProtocolError, ValueError):
    """A message exceeds the limit both sides agreed on; nothing of it was sent."""


class NotSerializable(LocalProtocolError, TypeError):
    """A value can't be pickled; the text names its type and where in the value it sits."""


class DumpError(LocalProtocolError, TypeError):
    """A value is not plain, so it can't be sent through a channel; the text names its type."""


class LoadError(LocalProtocolError, ValueError):
    """Bytes are not those of a plain value."""


# The world's fault.


class PeerError(DispycosError):
    """Something the other side did, or did not do."""


class RemoteProtocolError(PeerError):
    """A peer broke the wire's rules; its session is ended for good."""


class AuthenticationError(PeerError, ConnectionError):
    """A peer could not prove the cluster's key, or refused our proof."""


class VersionMismatch(PeerError):
    """The peer speaks no wire version that we speak; both versions are in the text."""


class PeerLost(PeerError, ConnectionError, EOFError):
    """The peer is gone: its process ended, or another incarnation answers at its address."""


class HostNotFound(PeerError, OSError):
    """No gateway could be opened to a machine: its name is unknown, or nothing answered as one must."""


class FileRefused(PeerError):
    """A peer did not store or delete a file, and nothing of it was kept; the text is its reason."""


class Timeout(DispycosError, TimeoutError):
    """A deadline passed; the text says what was waited for and how far it got."""


# Another task's fault.


class RemoteError(DispycosError):
    """An exception of remote code that can't be rebuilt here: type name and traceback text."""


class TaskLost(DispycosError):
    """The process or node that ran the task is gone; the text says why."""


class PoisonTask(TaskLost):
    """Too many servers died under the task; it is placed no more. The text lists each death."""


class TaskCancelled(DispycosError):
    """Somebody ended the task before it returned; the text says who and why."""


class TaskRejected(DispycosError):
    """The task never began; the text says why and where."""


class NoTask(TaskRejected, AttributeError):
    """A refusal is used like the Task that was asked for; an AttributeError too, for `hasattr`."""


class HotSwapException(DispycosError):
    """Thrown into a task that is to be replaced: `args[0]` is the new generator."""


# Our fault.


class InternalError(DispycosError):
    """An invariant of dispycos itself does not hold: a bug to report."""
