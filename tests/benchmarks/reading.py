"""A second task thread on a core, which reads while the other computes."""

import time
from collections.abc import Iterator
from typing import Any

from dasdist.sources import Selection
from tests.benchmarks import inputs, rivals
from tests.benchmarks.harness import Contest, benchmark

SLOW = 9e6
"""Bytes per second of a storage from which PhaseNet's input takes a third of its computing."""


@benchmark("second-thread")
def second_thread(quick: bool) -> Iterator[Contest]:
    """What it costs where reading takes no time."""
    yield from _one_and_two_threads(quick)


@benchmark("slow-storage")
def slow_storage(quick: bool) -> Iterator[Contest]:
    """What it hides where storage is slow; reads sleep, as those over a network do."""
    yield from _one_and_two_threads(quick, SLOW)


def _one_and_two_threads(quick: bool, rate: float = 0.0) -> Iterator[Contest]:
    values, block = inputs.strips(quick)
    ours = inputs.ours()
    with (
        inputs.archive(values) as data,
        rivals.cluster(1) as one,
        rivals.cluster(1, threads=2) as two,
    ):
        for client in (one, two) if rate else ():
            client.run(_slow_down, rate)
        options: dict[str, Any] = {"block": block, "thresholds": 0.3}
        sides = {
            "1 task thread on a core": rivals.ours_classify(ours, data, one, **options),
            "2 task threads on it": rivals.ours_classify(ours, data, two, **options),
        }
        yield Contest(sides, rivals.same_table, {"samples": values.size}, turns=4)


def _slow_down(rate: float) -> None:
    """Let reads of this process take as long as from a storage of so many bytes per second."""
    read = Selection.read

    def slowly(self: Selection) -> Any:
        found = read(self)
        time.sleep(found.nbytes / rate)
        return found

    Selection.read = slowly  # type: ignore[method-assign]
