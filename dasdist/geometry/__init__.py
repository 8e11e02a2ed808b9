"""Axes, segments, patches and blocks as integers, without any data."""

from dasdist.geometry.axis import Axis
from dasdist.geometry.blocks import Block, Region, SegmentGrid, Span, block_at
from dasdist.geometry.patches import Patch, PatchCoordinate, PatchGrid, PatchingStructure
from dasdist.geometry.resampling import Ratio
from dasdist.geometry.segments import Stretch, uniform_stretches

__all__ = [
    "Axis",
    "Block",
    "Patch",
    "PatchCoordinate",
    "PatchGrid",
    "PatchingStructure",
    "Ratio",
    "Region",
    "SegmentGrid",
    "Span",
    "Stretch",
    "block_at",
    "uniform_stretches",
]
