"""Pictures: of recordings with their picks and events, probabilities, coverage, quality.

All take ``backend="matplotlib"``, for print, or ``"holoviews"``, for notebooks; need the extra
``dasdist[plot]``; and have absolute times in UTC, and metres or kilometres.
"""

from dasdist.plot.arrivals import picks
from dasdist.plot.covered import coverage
from dasdist.plot.moveout import event
from dasdist.plot.probabilities import annotations
from dasdist.plot.quality import channels
from dasdist.plot.waterfalls import waterfall

__all__ = ["annotations", "channels", "coverage", "event", "picks", "waterfall"]
