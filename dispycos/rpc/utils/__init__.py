"""Where programs written for RPyC look for servers and the registry."""
