"""The registry, under the name that RPyC's programs import."""

from dispycos.rpc.registration import RegistryClient, discover, list_services
from dispycos.rpc.registry import RegistryServer

__all__ = ["RegistryClient", "RegistryServer", "discover", "list_services"]
