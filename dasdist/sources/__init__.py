"""Recordings: where samples lie, how they are labelled, and how a block reads its own."""

from dasdist.sources.base import Recording, SegmentAxes
from dasdist.sources.open import open_recording
from dasdist.sources.selection import Selection, array_selection

__all__ = ["Recording", "SegmentAxes", "Selection", "array_selection", "open_recording"]
