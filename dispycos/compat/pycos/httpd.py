"""What `import pycos.httpd` gives: a cluster watched in a browser."""

from dispycos.compat.monitor import HTTPServer

__all__ = ["HTTPServer"]
