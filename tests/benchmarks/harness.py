"""Let sides run by turns on the same work, and compare their times.

::

    contest    warm up   A B C   A B C   A B C     ratio of a turn: seconds of A over those of B
                           turn    turn    turn    what is told: its median, least and greatest

All that a machine does besides, such as another clock rate, meets both sides of a turn alike.
"""

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any

__all__ = ["BENCHMARKS", "Contest", "Facts", "Row", "Timed", "benchmark", "machine", "run", "table"]


@dataclass(frozen=True)
class Contest:
    """Sides that do the same work.

    Parameters
    ----------
    sides : mapping of str to callable
        The first is the one that the others are measured against.
    agree : callable
        Given the results of the first and of another side, raises AssertionError if they differ.
    work : mapping of str to float
        How much of what a side does, to tell rates.
    warm : mapping of str to callable, optional
        What to run before, untimed, by side; the sides themselves by default.
    turns : int
        Turns at full size.
    facts : callable, optional
        Given the median seconds of each side, returns what else is to be told.
    """

    sides: Mapping[str, Callable[[], Any]]
    agree: Callable[[Any, Any], None]
    work: Mapping[str, float] = field(default_factory=dict)
    warm: Mapping[str, Callable[[], Any]] | None = None
    turns: int = 5
    facts: Callable[[dict[str, float]], Mapping[str, float]] | None = None


@dataclass(frozen=True)
class Timed:
    """A result of a side that took its time itself, because it ran somewhere else."""

    seconds: float
    result: Any
    cpu: float


@dataclass(frozen=True)
class Facts:
    """What is counted or predicted, not timed."""

    facts: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    benchmark, side : str
        What was run; a side, or the name of a fact.
    seconds : list of float
        Of each turn.
    ratio, least, greatest : float or None
        Seconds of the first side over those of this one: median of the turns, and their spread.  Of
        a fact, its value.
    rates : mapping of str to float
        Work per second.
    cpu : float or None
        Median of the seconds that a side kept cores busy, if it is one process: what else a machine
        does changes it less.
    at_least, aim : float or None
        What the ratio should be.
    """

    benchmark: str
    side: str
    seconds: list[float] = field(default_factory=list)
    ratio: float | None = None
    least: float | None = None
    greatest: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    cpu: float | None = None
    at_least: float | None = None
    aim: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark by its name."""

    name: str
    make: Callable[[bool], AbstractContextManager[Contest | Facts]]
    at_least: float | None
    aim: float | None
    gpu: bool


BENCHMARKS: dict[str, Benchmark] = {}


def benchmark(
    name: str, at_least: float | None = None, aim: float | None = None, *, gpu: bool = False
) -> Callable[[Callable[[bool], Iterator[Contest | Facts]]], Any]:
    """Register a generator that is given whether to be quick and yields what to run, once."""

    def register(function: Callable[[bool], Iterator[Contest | Facts]]) -> Any:
        make = contextmanager(function)
        BENCHMARKS[name] = Benchmark(name, make, at_least, aim, gpu)
        return make

    return register


_Turns = dict[str, list[float]]


def run(name: str, *, quick: bool, turns: int | None = None) -> list[Row]:
    """Run a benchmark.

    Raises
    ------
    AssertionError
        If two sides come to different results.
    """
    chosen = BENCHMARKS[name]
    with chosen.make(quick) as what:
        if isinstance(what, Facts):
            return [Row(name, key, ratio=value) for key, value in what.facts.items()]
        seconds, cores = _turns(what, 1 if quick else turns or what.turns, warm=not quick)
    first = next(iter(seconds))
    rows = []
    for side, took in seconds.items():
        cpu = None if "worker" in side or side == "Dask" else median(cores[side])
        ratios = sorted(a / b for a, b in zip(seconds[first], took, strict=True))
        targets = {} if side == first else {"at_least": chosen.at_least, "aim": chosen.aim}
        rates = {unit: amount / median(took) for unit, amount in what.work.items()}
        rows.append(
            Row(name, side, took, median(ratios), ratios[0], ratios[-1], rates, cpu, **targets)
        )
    if what.facts is not None:
        found = what.facts({side: median(took) for side, took in seconds.items()})
        rows += [Row(name, key, ratio=value) for key, value in found.items()]
    return rows


def _turns(contest: Contest, turns: int, *, warm: bool) -> tuple[_Turns, _Turns]:
    if warm:
        for side in (contest.warm or contest.sides).values():
            side()
    seconds: dict[str, list[float]] = {side: [] for side in contest.sides}
    cores: dict[str, list[float]] = {side: [] for side in contest.sides}
    for _ in range(turns):
        results = {}
        for side, function in contest.sides.items():
            started, cpu_started = perf_counter(), process_time()
            result = function()
            took, cpu = perf_counter() - started, process_time() - cpu_started
            if isinstance(result, Timed):
                took, cpu, result = result.seconds, result.cpu, result.result
            seconds[side].append(took)
            cores[side].append(cpu)
            results[side] = result
        first, *others = results.values()
        for other in others:
            contest.agree(first, other)
    return seconds, cores


def machine() -> dict[str, Any]:
    """Return what the times depend on besides the code."""
    import torch

    names = [
        line.partition(":")[2].strip()
        for line in (_read("/proc/cpuinfo") or "").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


FORM = "{:<18}{:<34}{:>9}{:>9}{:>9}  {:<15} {}"


def table(rows: list[Row]) -> str:
    """Return rows as text."""
    lines = [FORM.format("benchmark", "side", "seconds", "of CPU", "ratio", "spread", "rates")]
    for row in rows:
        took = f"{median(row.seconds):.3f}" if row.seconds else ""
        cpu = "" if row.cpu is None else f"{row.cpu:.3f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.4g}"
        spread = "" if row.least is None else f"{row.least:.3g} to {row.greatest:.3g}"
        rates = ", ".join(f"{rate:.3g} {unit}/s" for unit, rate in row.rates.items())
        wanted = "" if row.at_least is None else f"  (at least {row.at_least:g}, aim {row.aim:g})"
        lines.append(
            FORM.format(row.benchmark, row.side, took, cpu, ratio, spread, f"{rates}{wanted}")
        )
    return "\n".join(lines)


def as_json(rows: list[Row]) -> str:
    """Return machine and rows as JSON."""
    return json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=1)
