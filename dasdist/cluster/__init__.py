"""Clusters of several machines: who may join them, where they listen, how a queue gives workers."""

from dasdist.cluster.folder import connect
from dasdist.cluster.slurm import slurm_cluster

__all__ = ["connect", "slurm_cluster"]
