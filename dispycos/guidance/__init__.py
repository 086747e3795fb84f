"""What errors say to who writes a word that is not ours: `habits` has the words, `hints` says them."""
