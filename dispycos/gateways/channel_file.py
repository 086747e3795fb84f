"""Channels as files: for `print(file=...)`, and for code that reads a file."""

from __future__ import annotations

from typing import Any, Protocol


class Channel(Protocol):
    """What a file needs of a channel."""

    def send(self, item: Any) -> Any: ...
    def __next__(self) -> Any: ...
    def close(self) -> None: ...


class _ChannelFile:
    def __init__(self, channel: Channel, proxyclose: bool) -> None:
        self.channel = channel
        self._proxyclose = proxyclose

    def isatty(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Close the channel, if it was made to."""
        if self._proxyclose:
            self.channel.close()


class ChannelWriter(_ChannelFile):
    """Each write is an item."""

    def write(self, data: Any) -> int:
        """Send it; OSError if the channel is closed."""
        self.channel.send(data)
        return len(data)

    def writelines(self, lines: Any) -> None:
        """Send each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing waits here."""


class ChannelReader(_ChannelFile):
    """Items are the pieces of one text, or of one `bytes`."""

    def __init__(self, channel: Channel, proxyclose: bool) -> None:
        super().__init__(channel, proxyclose)
        self._rest: Any = None  # what came and was not read yet; None: nothing came so far

    def _more(self) -> bool:
        try:
            item = next(self.channel)
        except StopIteration:
            return False
        self._rest = item if self._rest is None else self._rest + item
        return True

    def read(self, n: int = -1) -> Any:
        """n characters or bytes, or all up to the end; fewer at the end, then an empty one."""
        while (n < 0 or self._rest is None or len(self._rest) < n) and self._more():
            pass
        return self._cut(n)

    def readline(self) -> Any:
        """Up to and with the next line's end; at the end an empty one."""
        while self._rest is None or not self._newline():
            if not self._more():
                return self._cut(-1)
        return self._cut(self._newline())

    def _newline(self) -> int:
        # Where the first line ends; 0: it doesn't yet.
        assert self._rest is not None
        return int(self._rest.find("\n" if isinstance(self._rest, str) else b"\n")) + 1

    def _cut(self, n: int) -> Any:
        if self._rest is None:
            return ""
        if n < 0:
            n = len(self._rest)
        piece, self._rest = self._rest[:n], self._rest[n:]
        return piece

    def __iter__(self) -> ChannelReader:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line
