"""Contract tests for classes of one's own: one line checks a callback, sink, executor or source.

Each function raises `AssertionError` with a sentence on what is wrong, and returns nothing if all
is well; they need no test framework::

    def test_my_callback():
        dasdist.testing.check_callback(lambda: Loudest())
"""

from dasdist.testing.callback import check_callback
from dasdist.testing.executor import check_executor
from dasdist.testing.sink import check_sink
from dasdist.testing.source import check_source

__all__ = ["check_callback", "check_executor", "check_sink", "check_source"]
