"""Clusters of several machines: who may join them, where they listen, how a queue gives workers."""
