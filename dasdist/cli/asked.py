"""What plan, classify and annotate are asked for: all options of a command, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dasdist.cli.beforehand import check_outputs
from dasdist.cli.groups import Failing, Period, Queue, Where
from dasdist.cli.parsing import parse_settings, parse_thresholds
from dasdist.errors import InvalidInput

__all__ = ["Asked", "merged"]


@dataclass(frozen=True)
class Asked:
    """What plan, classify and annotate are asked for alike.

    Parameters
    ----------
    data, engine, variable
        The input.
    model : str
        Name of the model.
    settings : mapping
        Arguments of the model and of the callback.
    block : mapping or None
        Core of a block.
    period
        The stretch of it, and the channels, that count.
    where, queue
        Where to compute.
    failing
        What to do with failures, and with what is there.
    outputs : tuple of str or Path
        What is written.
    picks : bool
        Whether the first of these is a dataset of picks.
    engine_options : mapping
        Options of the engine.
    mask : str or None
        File that says which channels are left out.
    """

    data: str
    model: str
    engine: str | None
    variable: str | None
    settings: Mapping[str, Any]
    block: Mapping[str, int] | None
    period: Period
    where: Where
    queue: Queue = field(default_factory=Queue)
    failing: Failing = field(default_factory=Failing)
    outputs: tuple[str | Path, ...] = ()
    picks: bool = False
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    mask: str | None = None

    def check(self) -> None:
        """Refuse what can be refused without loading anything."""
        self.queue.check()
        self.where.check(queued=self.queue.cluster is not None)
        self.failing.check(self.where, self.queue)
        self.period.check()
        if self.block is not None and min(self.block.values()) < 1:
            sizes = ",".join(f"{name}={size}" for name, size in self.block.items())
            raise InvalidInput(f"--block {sizes}: a block has at least 1 sample and 1 channel.")
        if self.mask is not None and not Path(self.mask).is_file():
            raise InvalidInput(f"--mask {self.mask}: there is no such file.")
        check_outputs(self.outputs, overwrite=self.failing.overwrite)


def merged(
    settings: Sequence[str] | None,
    batch_size: int | None,
    threshold: Sequence[str] | None = None,
    columns: str | None = None,
    *,
    pad: bool = False,
    by_date: bool = False,
) -> dict[str, Any]:
    """Bring all arguments of the model and the callback together."""
    given: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
    if pad:
        given["pad"] = True
    if by_date:
        given["by_date"] = True
    if columns is not None:
        given["columns"] = tuple(filter(None, map(str.strip, columns.split(","))))
    return {**parse_settings(settings or ()), **given, **parse_thresholds(threshold or ())}
