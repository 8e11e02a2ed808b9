"""What it costs that a run can be seen on the dashboard, and that someone looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from dasdist.dashboard.watch import Watch
from dasdist.run import run as runs
from tests.benchmarks import inputs, rivals
from tests.benchmarks.harness import Contest, benchmark


@benchmark("watching", at_least=0.99)
def watching(quick: bool) -> Iterator[Contest]:
    """PhaseNet on two workers: without the page, with it, and with one that is open.

    The scheduler is in the process of the run, so that all it does for the page counts.  Who looks
    draws nothing: a browser is on a machine of its own.
    """
    values, block = inputs.strips(quick)
    ours = inputs.ours()
    with inputs.archive(values) as data, rivals.cluster(2, dashboard=True) as client:
        seen = rivals.ours_classify(ours, data, client, block=block, thresholds=0.3)
        seen()  # installs the page
        url = client.dashboard_link.replace("/status", "/das")
        sides = {
            "not to be seen": _unseen(seen),
            "to be seen": seen,
            "seen by a page": _looked_at(seen, url),
        }
        yield Contest(sides, rivals.same_table, {"samples": values.size})


def _unseen(run: Callable[[], Any]) -> Callable[[], Any]:
    @contextmanager
    def nobody(*_: Any) -> Iterator[Watch]:
        yield Watch(None, "")

    def unseen() -> Any:
        with mock.patch.object(runs, "watched", nobody):
            return run()

    return unseen


def _looked_at(run: Callable[[], Any], url: str) -> Callable[[], Any]:
    from bokeh.client import pull_session

    def looked_at() -> Any:
        with pull_session(url=url):  # the scheduler sends it what changes
            return run()

    return looked_at
