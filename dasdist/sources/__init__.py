"""Recordings: arrays of samples with their coordinates, and how selections of them are read."""

from dasdist.sources.base import Recording, SegmentAxes
from dasdist.sources.open import open_recording
from dasdist.sources.selection import Selection, array_selection

__all__ = ["Recording", "SegmentAxes", "Selection", "array_selection", "open_recording"]
