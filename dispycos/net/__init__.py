"""Bytes between processes: frames, proofs, sessions and the sockets that carry them."""
