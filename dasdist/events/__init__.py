"""Earthquakes among the picks of a fibre: picks that line up across channels, P with S.

::

    picks in the order of time          reading
        -> windows of two minutes       stream
            -> picks that line up       coherence
            -> pairs, origin times      origin_votes
            -> curves, their picks      growing, curve, association
    -> events, picks with their event   row, result
"""

from dasdist.events.functions import detect
from dasdist.events.options import EventOptions
from dasdist.events.result import Events

__all__ = ["EventOptions", "Events", "detect"]
