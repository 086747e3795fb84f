"""A machine's side: the daemon, the zygote of each client and the servers it forks."""
