"""Recordings: where samples lie, how they are labelled, and how a block reads its own."""

from dasdist.sources.base import Recording, SegmentAxes
from dasdist.sources.open import open_recording
from dasdist.sources.part import Part, array_part

__all__ = ["Part", "Recording", "SegmentAxes", "array_part", "open_recording"]
