"""The program against its peers: the same work, in one run, as ratios. `make bench`."""
