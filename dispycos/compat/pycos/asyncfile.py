"""What `import pycos.asyncfile` gives: files and pipes that tasks read and write."""

from dispycos.compat.files import AsyncFile, AsyncPipe

__all__ = ["AsyncFile", "AsyncPipe"]
