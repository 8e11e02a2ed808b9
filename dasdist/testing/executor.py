"""What an executor promises: the results of the serial loop, in whatever order it was asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.block_events import BlockEvent
from dasdist.callbacks import DASPickingCallback
from dasdist.callbacks.base import Context
from dasdist.errors import InvalidInput, RunInterrupted, UnreadableData
from dasdist.executors.block_task import BlockTask, Outcome, RunSpec
from dasdist.executors.protocol import Executor
from dasdist.executors.serial import SerialExecutor
from dasdist.executors.stopping import Stop
from dasdist.geometry import PatchingStructure, Region, Span
from dasdist.inference import Recipe
from dasdist.inference.replica import pack, predictor_of, remember
from dasdist.models import BaseDASModel
from dasdist.planning.fit import make_plan
from dasdist.planning.plan import Plan
from dasdist.planning.resources import Resources
from dasdist.report import BlockResult, Failure
from dasdist.sources import Recording, open_recording
from dasdist.testing.given import made, maker
from dasdist.testing.sample import same

__all__ = ["check_executor"]

_BROKEN = 4
"""The block whose data cannot be read, where one is wanted."""


def check_executor(make: Callable[[], Executor]) -> None:
    """Check an executor against the serial one.

    Parameters
    ----------
    make : callable
        Returns the executor; called several times.

    Raises
    ------
    InvalidInput
        If `make` is not such a function.
    AssertionError
        If it breaks a promise of :class:`dasdist.executors.protocol.Executor`.

    Examples
    --------
    >>> check_executor(lambda: SerialExecutor(threads=2))
    """
    maker(make, "check_executor", "executor")
    executor = made(make, function="check_executor", what="executor")
    if not callable(getattr(executor, "run", None)):
        raise InvalidInput(
            f"check_executor was given one of type {type(executor).__name__}, which has no method "
            "run(spec, "
            "tasks, stop, listen); see dasdist.executors.protocol.Executor."
        )
    recording = _recording()
    plan, spec = _planned(recording)
    expected = _parts(SerialExecutor().run(spec, _tasks(plan, recording), Stop(), _ignore))
    _check_results(make(), spec, plan, recording, expected)
    _check_order(make(), spec, plan, recording)
    _check_failures(make(), spec, plan, recording, expected)
    _check_errors(make(), spec, plan, recording)
    _check_stop(make(), spec, plan, recording)


class _Mean(BaseDASModel):
    """Says how large the samples are."""

    def __init__(self) -> None:
        structure = PatchingStructure(50, 3, 50, 3, (0, 50), (0, 3), 25, 1)
        super().__init__(patching_structure=structure, annotate_keys=["P"])
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(
        self, x: torch.Tensor, argdict: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        return {"P": torch.sigmoid(self.gain * x)}


def _recording() -> Recording:
    import xarray

    values = np.random.default_rng(0).standard_normal((700, 7)).astype("float32")
    time = np.datetime64("2024-01-01", "ns") + np.arange(700) * np.timedelta64(10, "ms")
    return open_recording(xarray.DataArray(values, {"time": time, "distance": np.arange(7.0)}))


def _planned(recording: Recording) -> tuple[Plan, RunSpec]:
    payload = pack(_Mean().eval())
    remember(payload)
    callback = DASPickingCallback(0.7, 0.1, (1, 1))
    plan = make_plan(
        recording,
        predictor_of(payload.token),
        {},
        needs=callback.needs,
        resources=Resources(),
        block={"time": 100, "distance": 4},
    )
    callback.setup(Context(("P",), plan.grids, ("time", "distance")))
    mapper, needs = callback.mapper(), callback.needs
    recipe = Recipe(plan.batching, {}, plan.sections[0], mapper, needs, plan.amplitude)
    return plan, RunSpec(plan.grids, (recipe,), payload, keep_going=True)


def _tasks(plan: Plan, recording: Recording, *, broken: bool = False) -> Iterator[BlockTask]:
    for block in plan:
        selection = recording.select(block.read)
        if broken and block.index == _BROKEN:
            selection = replace(selection, source=_Broken())
        yield BlockTask(block, selection)


@dataclass(frozen=True)
class _Broken:
    """A source that cannot be read."""

    def select(self, region: Region) -> "_Broken":
        return self

    def read(self) -> NDArray[Any]:
        raise OSError("this block cannot be read")

    def files(self) -> Sequence[tuple[Span, str]]:
        return ()

    def chunks(self) -> None:
        return None

    def identity(self) -> Iterator[bytes]:
        yield b"broken"


def _ignore(event: BlockEvent) -> None:
    """Take no note."""


def _parts(outcomes: Iterator[Outcome]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for outcome in outcomes:
        assert outcome.block not in found, f"Block {outcome.block} was yielded twice."
        found[outcome.block] = outcome.part if isinstance(outcome, BlockResult) else outcome
    return found


def _check_results(
    executor: Executor, spec: RunSpec, plan: Plan, recording: Recording, expected: dict[int, Any]
) -> None:
    events: list[BlockEvent] = []
    found = _parts(executor.run(spec, _tasks(plan, recording), Stop(), events.append))
    _check_same(found, expected)
    known = {"waiting", "reading", "computing", "writing"}
    for event in events:
        fine = event.state in known and 0 <= event.block < len(plan) and 0 <= event.share <= 1
        assert fine, f"The executor sent {event}; ends of blocks are told by the run."


def _check_same(found: dict[int, Any], expected: dict[int, Any]) -> None:
    assert found.keys() == expected.keys(), (
        f"Blocks {sorted(found)} were yielded, expected {sorted(expected)}."
    )
    for block, part in expected.items():
        assert same(part, found[block]), (
            f"The part of block {block} differs from the serial loop's."
        )


def _check_order(executor: Executor, spec: RunSpec, plan: Plan, recording: Recording) -> None:
    (recipe,) = spec.recipes
    ordered = replace(recipe, needs=replace(recipe.needs, in_order=True))
    spec = replace(spec, recipes=(ordered,))
    found = [
        outcome.block for outcome in executor.run(spec, _tasks(plan, recording), Stop(), _ignore)
    ]
    assert found == list(range(len(plan))), f"Asked for the order of the plan, it yielded {found}."


def _check_failures(
    executor: Executor, spec: RunSpec, plan: Plan, recording: Recording, expected: dict[int, Any]
) -> None:
    tasks = _tasks(plan, recording, broken=True)
    found = _parts(executor.run(spec, tasks, Stop(), _ignore))
    failed = found.pop(_BROKEN, None)
    assert isinstance(failed, Failure), "A block that cannot be read did not become a Failure."
    assert failed.kind == "unreadable", f"Its kind is {failed.kind!r}, expected 'unreadable'."
    _check_same(found, {block: part for block, part in expected.items() if block != _BROKEN})


def _check_errors(executor: Executor, spec: RunSpec, plan: Plan, recording: Recording) -> None:
    strict = replace(spec, keep_going=False)
    try:
        for _ in executor.run(strict, _tasks(plan, recording, broken=True), Stop(), _ignore):
            pass
    except UnreadableData:
        return
    raise AssertionError("With keep_going=False the error of a block was not raised.")


def _check_stop(executor: Executor, spec: RunSpec, plan: Plan, recording: Recording) -> None:
    stop = Stop()
    outcomes = executor.run(spec, _tasks(plan, recording), stop, _ignore)
    count = 0
    try:
        for _ in outcomes:
            count += 1
            stop.requested = True  # as after Ctrl-C
    except RunInterrupted:
        assert 0 < count < len(plan), "Told to stop, it went on to the last block."
        return
    finally:
        outcomes.close()
    raise AssertionError("Told to stop before the last block, it ended without RunInterrupted.")
