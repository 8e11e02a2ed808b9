"""In the process of a run: tells the scheduler how far it is, so that the dashboard can show it.

Nothing depends on it.  A scheduler that cannot show anything is told nothing; what fails here is
said once, for who debugs, and the run goes on.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import Lock
from typing import Any

import numpy as np
from distributed import Client

from dasdist.block_events import BlockEvent
from dasdist.dashboard.board import CODES
from dasdist.dashboard.cells import cells_of
from dasdist.planning.plan import Plan
from dasdist.safe_text import logger

__all__ = ["Watch", "watched"]

_log = logger()

_PERIOD = 0.5
"""Seconds between two messages."""

_LONGEST = 500
"""Characters of a reason that are sent."""

_PATIENCE = 2.0
"""Seconds that a run waits, at its beginning and at its end, for a scheduler that is busy."""


@contextmanager
def watched(
    client: Client | None, run: str, plan: Plan, unit: str, phases: Sequence[str] = ()
) -> Iterator["Watch"]:
    """Let the dashboard of a cluster show a run while this lasts, and how it ended.

    Parameters
    ----------
    client : Client or None
        A synchronous client; None shows nothing.
    run : str
        Name under which workers tell of its blocks.
    plan : Plan
        Its blocks.
    unit : str
        Of their distances, as of a recording.
    phases : sequence of str
        Which counts of finished blocks are picks.
    """
    watch = Watch(client, run, phases)
    why = "there is no cluster" if client is None else _begun(client, watch, plan, unit)
    if why:
        _log.debug("The dashboard does not show this run: %s", why)
        yield watch
        return
    watch.open()
    try:
        yield watch
    except BaseException as error:
        watch.leave("stopped", str(error))
        raise
    watch.leave("finished", "")


def _begun(client: Client, watch: "Watch", plan: Plan, unit: str) -> str:
    """Tell a scheduler of a run; return why it shows nothing, if so."""
    try:
        if why := client.run_on_scheduler(_installer()):
            return str(why)
        watch.begin(
            client=client.id,
            cells=cells_of(plan.grids, unit).packed(),
            facts={
                "model": plan.model,
                "data_seconds": plan.data_seconds,
                "archive_bytes": plan.archive_bytes,
                "phases": list(watch.phases),
            },
        )
    except Exception as error:  # noqa: BLE001 -- whatever it is, the run does not need it
        return f"{type(error).__name__}: {error}"
    return ""


def _installer() -> Callable[..., str]:
    """Return a function that is sent as it is, to a process that may not have dasdist."""

    def installed(dask_scheduler: Any = None) -> str:
        try:
            from dasdist.dashboard.install import install

            return install(dask_scheduler)
        except Exception as error:  # noqa: BLE001 -- it is told, as text that anyone can read
            return f"the scheduler's process cannot show it: {type(error).__name__}: {error}"

    return installed


class Watch:
    """Listens to the events of a run, and views its progress, to tell both twice a second.

    Parameters
    ----------
    client : Client or None
        Whose scheduler is told; None tells nobody.
    run : str
        Name of the run.
    phases : sequence of str
        Which counts are picks.
    """

    def __init__(self, client: Client | None, run: str, phases: Sequence[str] = ()) -> None:
        self.phases = tuple(phases)
        self._client: Any = client
        self._run = run
        self._lock = Lock()
        self._ended: list[BlockEvent] = []
        self._progress: Any = None
        self._waits_for = ""
        self._telling: Any = None
        self._leaving = asyncio.Event()
        self._last: dict[str, str] = {}

    # ------------------------------------------------------------ what is heard

    def __call__(self, event: BlockEvent) -> None:
        """Take an event; what workers do, the scheduler knows from them."""
        if self._telling is None:
            return
        if event.ended:
            with self._lock:
                self._ended.append(event)
                self._waits_for = ""
        elif event.waits_for:
            self._waits_for = event.waits_for

    def start(self, progress: Any) -> None:
        """Take how far the run is when it begins."""
        self._progress = progress

    def update(self, progress: Any) -> None:
        """Take how far the run is."""
        self._progress = progress

    def close(self) -> None:
        """Leave what was told as it is."""

    # ------------------------------------------------------------ what is told

    def begin(self, **message: Any) -> None:
        """Tell the scheduler that the run begins, and what it is."""
        telling = self._tell("begin", **message)
        asyncio.run_coroutine_threadsafe(telling, self._loop).result(_PATIENCE)

    def open(self) -> None:
        """Go on telling, in the thread of the client's loop."""
        self._telling = asyncio.run_coroutine_threadsafe(self._tell_all(), self._loop)

    def leave(self, how: str, why: str) -> None:
        """Tell what is left, and how the run ended."""
        telling, self._telling = self._telling, None
        self._last = {"how": how, "why": why[:_LONGEST]}
        with suppress(Exception):  # the scheduler may be gone, or busy: then it shows less
            self._loop.call_soon_threadsafe(self._leaving.set)
            telling.result(_PATIENCE)

    async def _tell_all(self) -> None:
        try:
            while not self._leaving.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._leaving.wait(), _PERIOD)
                if (news := self._news()) and not await self._tell("news", **news):
                    return
            await self._tell("over", **self._last)
        except Exception as error:  # noqa: BLE001 -- as above
            _log.debug("The dashboard shows no more of this run: %s", error)

    async def _tell(self, kind: str, **message: Any) -> bool:
        """Tell the scheduler; return whether it wants more."""
        whole = {"kind": kind, "run": self._run, **message}
        return bool(await self._client.scheduler.dasdist_board(message=whole))

    @property
    def _loop(self) -> Any:
        return self._client.loop.asyncio_loop

    def _news(self) -> dict[str, Any]:
        """Return what there is to tell, and forget it."""
        with self._lock:
            ended, self._ended = self._ended, []
        progress, self._progress = self._progress, None
        if not (ended or progress or self._waits_for):
            return {}
        picks = [[event.counts.get(phase, 0) for phase in self.phases] for event in ended]
        return {
            "blocks": np.array([event.block for event in ended], "<i4").tobytes(),
            "states": np.array([CODES.index(event.state) for event in ended], "u1").tobytes(),
            "seconds": np.array([event.seconds for event in ended], "<f4").tobytes(),
            "picks": np.array(picks, "<i4").tobytes(),
            "failed": [
                [event.block, event.error[:_LONGEST], event.worker]
                for event in ended
                if event.state == "failed"
            ],
            "progress": asdict(progress) if progress else {},
            "waits_for": self._waits_for[:_LONGEST],
        }
