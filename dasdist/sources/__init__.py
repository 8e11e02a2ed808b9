"""Recordings: arrays of samples with their coordinates, and how selections of them are read."""

from dasdist.sources.array import SourceArray
from dasdist.sources.base import Recording, SegmentAxes
from dasdist.sources.channel_range import ChannelRange
from dasdist.sources.formats import known_formats, open_files, register_format
from dasdist.sources.open import open_recording
from dasdist.sources.selection import Selection, array_selection
from dasdist.sources.time_range import TimeRange

__all__ = [
    "ChannelRange",
    "Recording",
    "SegmentAxes",
    "Selection",
    "SourceArray",
    "TimeRange",
    "array_selection",
    "known_formats",
    "open_files",
    "open_recording",
    "register_format",
]
