"""Sections and rows of a report, of which none hides another."""

import json
import statistics
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

__all__ = ["Report"]


@dataclass
class Report:
    """What is found, printed as soon as it is and kept in ``measure.json``.

    Parameters
    ----------
    device : str
        "cuda", or "cpu" to play it through.
    quick : bool
        Whether sizes are tiny.
    out : Path
        The folder for files.
    limit : float
        Seconds after which no section begins.
    """

    device: str
    quick: bool
    out: Path
    limit: float
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    started: float = field(default_factory=perf_counter)

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.limit - (perf_counter() - self.started)

    def section(self, name: str, function: Callable[["Report"], None]) -> None:
        """Run a section; what it raises is printed."""
        if self.left < 0:
            print(f"--- {name}: no time is left for it", flush=True)
            return
        began = perf_counter()
        print(f"--- {name} (at {began - self.started:.0f} s)", flush=True)
        self.found[name] = {}
        self._guarded(name, lambda: function(self))
        print(f"    {perf_counter() - began:.1f} s", flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "measure.json").write_text(json.dumps(self.found, indent=1, default=str))

    def row(self, name: str, function: Callable[[], Any]) -> Any:
        """Print what a function returns, or why it failed; return it, or None."""
        result = self._guarded(name, function)
        if result is not None:
            text = f"{result:.4g}" if isinstance(result, float) else str(result)
            print(f"    {name:<44} {text}", flush=True)
            if self.found:
                self.found[next(reversed(self.found))][name] = result
        return result

    def _guarded(self, name: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - also what skips a test, when imported here
            self.failed.append(name)
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            print(f"    {name:<44} failed: {type(error).__name__} at {where}: {error}"[:500])
            return None
        finally:
            if self.on_gpu:
                torch.cuda.empty_cache()

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, function: Callable[[], Any], times: int = 3) -> float:
        """Return the median seconds of a few calls, after one that is not counted."""
        function()
        taken = []
        for _ in range(1 if self.quick else times):
            self.wait()
            began = perf_counter()
            function()
            self.wait()
            taken.append(perf_counter() - began)
        return statistics.median(taken)
