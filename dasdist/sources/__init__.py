"""Recordings: arrays of samples with their coordinates, and how selections of them are read.

::

    what users pass    xdas_arrays, xarray_arrays (views), dascore_objects, array, index, joined
                                                                                    -> labelled
    files              engines (first_bytes, guesses, unopened, spectra), formats, dascore_files,
                       dasdae
    its time           timed: time_range, zones, restamp (headers), jitter, borders, overlaps, kept
    its positions      stored_axes (stated), positions, lengths, channel_range
    a recording        open: coordinates (lines), base, origins
    its samples        selection: source, tiles, hdf5 (chunks, inflate), checked
    left out           mask
    what is missing    absence: declared (declared_source), unwritten (hdf5_behind, foreign,
                       zarr_chunks), salvage
"""

from dasdist.sources.array import SourceArray
from dasdist.sources.base import Recording, SegmentAxes
from dasdist.sources.channel_range import ChannelRange
from dasdist.sources.formats import known_formats, open_files, register_format
from dasdist.sources.mask import NO_MASK, Mask, read_mask
from dasdist.sources.open import open_recording
from dasdist.sources.selection import Selection, array_selection
from dasdist.sources.time_range import TimeRange

__all__ = [
    "NO_MASK",
    "ChannelRange",
    "Mask",
    "Recording",
    "SegmentAxes",
    "Selection",
    "SourceArray",
    "TimeRange",
    "array_selection",
    "known_formats",
    "open_files",
    "open_recording",
    "read_mask",
    "register_format",
]
