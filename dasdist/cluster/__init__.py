"""Clusters of several machines: certificates, network addresses, and workers in SLURM jobs."""

from dasdist.cluster.folder import connect
from dasdist.cluster.slurm import slurm_cluster

__all__ = ["connect", "slurm_cluster"]
