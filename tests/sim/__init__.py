"""The machines together on a virtual clock, from one seed."""
