"""Code that runs at the far end of a gateway, and channels to it: the vocabulary of execnet."""
