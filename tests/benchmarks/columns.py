"""What optional columns of picks cost."""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

import dasdist
from dasdist.callbacks.picks import MORE_COLUMNS, PICK_COLUMNS
from tests.benchmarks import inputs
from tests.benchmarks.harness import Contest, benchmark


@benchmark("pick-columns", at_least=0.95, aim=0.98)
def pick_columns(quick: bool) -> Iterator[Contest]:
    """PhaseNet on earthquakes on every channel, without and with amplitude, ratio and width."""
    samples, channels = (inputs.WINDOW + 1500, 12) if quick else (inputs.WINDOW + 8 * 1500, 256)
    model = inputs.ours()
    with inputs.archive(inputs.events(samples, channels), seconds=30) as data:

        def side(of: Any, columns: tuple[str, ...]) -> Callable[[], pd.DataFrame]:
            options: dict[str, Any] = {"thresholds": 0.3, "client": False, "pbar": False}
            return lambda: dasdist.classify(model, of, columns=columns, **options).picks

        def sides(of: Any) -> dict[str, Any]:
            return {"picks": side(of, ()), "with all columns": side(of, tuple(MORE_COLUMNS))}

        yield Contest(
            sides(data),
            _same_picks,
            {"samples": float(samples * channels)},
            warm=sides(data[: inputs.WINDOW]),
            turns=9,
        )


def _same_picks(plain: pd.DataFrame, more: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(plain, more[list(PICK_COLUMNS)])
    assert set(more) == {*plain, *MORE_COLUMNS}
    assert len(plain) > 10
