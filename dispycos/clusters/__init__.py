"""Clusters that a program starts: nodes on this machine, by ssh or by Slurm, as many as there is work for."""
