"""Nodes and clients: who is here, whose turn it is, who holds which lease."""
