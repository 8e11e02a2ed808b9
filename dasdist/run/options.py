"""What a user may ask of a run that does not change its results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
from distributed import Client

from dasdist.block_events import Listener
from dasdist.errors import InvalidInput

__all__ = ["DEFAULT_FAILURES", "MaxFailures", "RunOptions"]

DEFAULT_FAILURES = 100
"""Blocks that may fail, unless the user says otherwise, in a run whose results last."""

MaxFailures = int | Literal["any"]
"""How many blocks may fail before a run stops."""

_MEANING: Mapping[str, MaxFailures] = {"raise": 0, "skip": "any"}


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run starts, where it computes, how it goes on and when it gives up.

    Parameters
    ----------
    client : distributed.Client, None or False
        Where to compute: on this client's cluster; on the current client's, if there is one, for
        None; in this process for False.
    block : mapping
        Core of a block; what is not given is chosen.
    overwrite : bool
        Whether to replace what the output holds, instead of going on with it.
    max_failures : int, "any" or None
        Blocks that may fail before the run stops; None is the default, see `most_failures`.
    retry_failed : bool
        Whether to try blocks again that earlier runs gave up.
    block_timeout : float
        Seconds after which a block counts as hanging; infinity is never.
    pbar : bool or ProgressView
        Whether to show progress, or where.
    listeners : tuple of callable
        Take the events of blocks.
    engine : str, optional
        Engine that the data may be read with although no file may name it.
    """

    client: Client | Literal[False] | None = None
    block: Mapping[str, int] = field(default_factory=dict)
    overwrite: bool = False
    max_failures: MaxFailures | None = None
    retry_failed: bool = False
    block_timeout: float = inf
    pbar: Any = True
    listeners: tuple[Listener, ...] = ()
    engine: str | None = None

    @classmethod
    def of(
        cls,
        *,
        block: Mapping[str, int] | None,
        max_failures: MaxFailures | None,
        on_error: str | None,
        block_timeout: float | None,
        on_event: Listener | None,
        **others: Any,
    ) -> "RunOptions":
        """Read the arguments of annotate and classify, which may be None.

        ``on_error`` is the older name: "raise" is ``max_failures=0``, "skip" is ``"any"``.
        """
        if on_error is not None:
            if on_error not in _MEANING:
                raise InvalidInput(
                    f"on_error is {on_error!r}; use max_failures, the number of blocks that may "
                    'fail or "any", in its place ("raise" means 0, "skip" means "any").'
                )
            if max_failures is not None:
                raise InvalidInput(
                    f"on_error={on_error!r} is another name for "
                    f"max_failures={_MEANING[on_error]!r}, and max_failures={max_failures!r} was "
                    "given too; pass one of them."
                )
            max_failures = _MEANING[on_error]
        return cls(
            block=block or {},
            max_failures=max_failures,
            block_timeout=inf if block_timeout is None else block_timeout,
            listeners=() if on_event is None else (on_event,),
            **others,
        )

    def __post_init__(self) -> None:
        client: Any = self.client
        most: Any = self.max_failures
        timeout: Any = self.block_timeout
        if client is not None and client is not False and not isinstance(client, Client):
            raise InvalidInput(
                f"client is {client!r}; pass a distributed.Client, such as Client({client!r}), or "
                "False to compute in this process."
            )
        if not (
            most is None
            or most == "any"
            or (isinstance(most, int | np.integer) and not isinstance(most, bool) and most >= 0)
        ):
            raise InvalidInput(
                f"max_failures is {most!r}; give the number of blocks that may fail, from 0 up, or "
                '"any".'
            )
        if not isinstance(timeout, int | float | np.number) or not timeout > 0:
            raise InvalidInput(f"block_timeout is {timeout!r}; give seconds, more than 0.")
        if not all(map(callable, self.listeners)):
            raise InvalidInput(
                f"on_event is {self.listeners[0]!r}; pass a function that takes a BlockEvent."
            )

    def most_failures(self, *, lasting: bool) -> MaxFailures:
        """Return how many blocks may fail: by default 100 where results last, else none."""
        if self.max_failures is None:
            return DEFAULT_FAILURES if lasting else 0
        return self.max_failures
