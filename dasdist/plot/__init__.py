"""Pictures: of recordings with their picks and events, probabilities, coverage, quality.

All take ``backend="matplotlib"``, for print, or ``"holoviews"``, for notebooks; need the extra
``dasdist[plot]``; and have absolute times in UTC, and metres or kilometres.
"""

from dasdist.plot.waterfalls import waterfall

__all__ = ["waterfall"]
