"""One adapter a peer: the same workloads in each one's own best idiom, with two workers.

A module here defines `Peer`, a subclass of `base.Peer`. What a peer cannot do it does not define.
"""
