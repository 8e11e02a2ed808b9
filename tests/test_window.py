"""How many blocks are sent to a cluster at a time, and how many of them in one task."""

from types import SimpleNamespace
from typing import Any

import pytest

from dasdist.executors.backpressure import Backpressure
from dasdist.report import BlockResult


def window(*seconds, threads=2, steady=False):
    """A window that has seen blocks which took so long, on so many task threads."""
    client: Any = SimpleNamespace(nthreads=lambda: {"tcp://worker": threads})
    made = Backpressure(client, steady=steady)
    for each in seconds:
        made.learn(BlockResult(0, None, {"read": each / 2, "model": each / 2}))
    return made


@pytest.mark.parametrize(
    ("seconds", "together", "size"),
    [(10.0, 1, 2), (0.06, 1, 5), (0.02, 2, 12), (0.01, 5, 22), (0.001, 8, 32), (0.0, 8, 32)],
)
def test_short_blocks_share_tasks_and_more_of_them_wait(seconds, together, size):
    found = window(*[seconds] * 5)
    assert found.together == together
    assert found.free(taken=0) == 2 * size


def test_before_anything_is_known_a_block_runs_and_one_waits():
    found = window()
    assert (found.together, found.free(taken=0), found.free(taken=3)) == (1, 4, 1)


def test_blocks_that_are_held_in_memory_are_not_more_for_being_short():
    found = window(0.001, steady=True)
    assert (found.together, found.free(taken=0)) == (1, 4)


@pytest.mark.parametrize("first", [0.5, 60.0])
def test_what_a_worker_loads_for_its_first_block_says_nothing_of_the_next(first):
    assert window(first, 0.001, 0.001).together == 8


def test_blocks_that_become_longer_do_not_share_for_long():
    assert window(*[0.001] * 100, *[1.0] * 8).together == 1


def test_a_message_is_worth_several_short_blocks():
    found = window(0.001)
    assert found.free(taken=40) == 0
    assert found.free(taken=30) == 34
