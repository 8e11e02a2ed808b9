"""Clusters of several machines: certificates, network addresses, and workers in SLURM jobs."""
