"""Over loopback sockets: real descriptors, threads and time limits."""
