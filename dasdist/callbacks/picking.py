"""Pick arrivals from probability curves, independently on every channel."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.pick_columns import (
    AROUND,
    OF_SAMPLES,
    units_of,
)
from dasdist.callbacks.pick_mapping import PickMapper
from dasdist.callbacks.picking_options import (
    check_options,
    chosen_columns,
    thresholds_by_key,
    warn_of_holes,
)
from dasdist.callbacks.picks import (
    METRES,
    PickList,
    PickTable,
    join,
    place_of,
    to_dataframe,
)
from dasdist.errors import DasdistError, InvalidInput

__all__ = ["DASPickingCallback", "PickMapper"]


class DASPickingCallback(DASAnnotateCallback):
    """Pick peaks of the annotations, independently on every channel.

    Parameters
    ----------
    thresholds : float or dict of str to float
        Least confidence of a pick, from 0 to 1: one for all phases of the model, or one for each of
        them.  A dict may name further annotation keys, such as a detection, to pick their peaks as
        well.
    min_time_separation : float
        Seconds within which only the most confident pick of a phase and channel is kept; 0 keeps
        all.
    blinding : tuple of int
        Outputs at the start and at the end of every patch that are not searched.
    columns : str or iterable of str
        More columns of picks, of ``"amplitude"``, ``"snr"`` and ``"peak_width"``; none by default.

    Attributes
    ----------
    picks : pandas.DataFrame
        One row per pick, sorted by time, then channel, then phase; available after the run::

            time           datetime64[ns]  arrival time
            distance       float64         along the fibre, in metres; see below
            channel_index  int64           nearest channel of the recording that was passed
            phase          str             annotation key
            confidence     float32         height of the peak
            sample_index   int64           nearest sample of the recording that was passed
            segment        int64           number of the segment

        Where the channel dimension holds no distances but, say, numbers of channels, the second
        column has the name of that dimension.  ``picks.attrs["units"]`` states its unit: "m", "1",
        or what the data states.  The optional columns are::

            amplitude      float32         largest sample after the pick, in the unit of the data
            snr            float32         rms of the samples after the pick over that before it
            peak_width     float32         seconds at half of the height of the annotation's peak

    Raises
    ------
    InvalidInput
        If a threshold, the separation or the blinding is out of range; in :meth:`setup`, if the
        keys of the thresholds are not those of the model.

    Warns
    -----
    DataWarning
        In :meth:`setup`, if patches overlap by less than the blinding, so that outputs between them
        are never picked, or if the blinding leaves nothing to pick.

    Notes
    -----
    The first and the last outputs of a segment, as many as are blinded, are never picked.  A peak
    needs both neighbours, so the outermost searched outputs of a patch are no peaks: patches should
    overlap by two outputs more than the blinding.

    `amplitude` and `snr` are of the preprocessed samples, as recorded but resampled and filtered
    for the model, within 2 s before and 2 s after the pick, counted from their mean before it; the
    windows are cut where the segment ends.  They do not depend on blocks, but for filters, which
    forget where they started to 1e-6.  They are NaN where a sample that they need is missing.  The
    unit of the data is what its attribute ``units`` says, else "unknown".

    Takes the place of ``seisbench.models.das_base.DASPickingCallback``, with these differences: of
    equal picks close to each other the last is kept, not all; the separation holds for outputs
    coarser or finer than the input, and may be 0; thresholds may be integers; picks compete where
    two patches overlap along the fibre; times are exact.

    Examples
    --------
    >>> callback = DASPickingCallback(thresholds={"P": 0.3, "S": 0.2}, min_time_separation=0.5)
    >>> model.annotate(data, callback)  # doctest: +SKIP
    >>> callback.picks  # doctest: +SKIP
    """

    def __init__(
        self,
        thresholds: float | Mapping[str, float] = 0.2,
        min_time_separation: float = 1.0,
        blinding: tuple[int, int] = (100, 100),
        columns: str | Iterable[str] = (),
    ):
        check_options(thresholds, min_time_separation, blinding)
        self.columns = chosen_columns(columns)
        self.thresholds = thresholds
        self.min_time_separation = min_time_separation
        self.blinding = blinding
        self._by_key: tuple[tuple[str, float], ...] = ()
        self._place = METRES
        self._units: Mapping[str, str] = {}
        self._picks: pd.DataFrame | None = None

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """A halo in which other picks compete; exact values from the thresholds on."""
        return Needs(
            pick_halo=float(self.min_time_separation),
            around=AROUND if set(OF_SAMPLES) & set(self.columns) else (0.0, 0.0),
            device_curves=True,
            exact_above=dict(self._by_key),
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The options."""
        more = {"columns": self.columns, "column_windows": AROUND} if self.columns else {}
        return {
            "thresholds": self.thresholds,
            "min_time_separation": self.min_time_separation,
            "blinding": self.blinding,
            **more,
        }

    @property
    def picks(self) -> pd.DataFrame:
        """The picks of the last run."""
        if self._picks is None:
            raise DasdistError("There are no picks yet: pass the callback to annotate first.")
        return self._picks

    def setup(self, context: Context) -> None:
        """Check the options against the model and the patches, and forget earlier picks."""
        super().setup(context)
        self._picks = None
        self._by_key = thresholds_by_key(self.thresholds, context.annotate_keys, context.phases)
        self._place = place_of(context.dims[1], context.channel_unit)
        if self._place.name in self.columns:
            raise InvalidInput(
                f"The channel dimension is called {self._place.name!r}, as is an optional column "
                "of picks: rename the dimension, or leave the column out."
            )
        self._units = units_of(self.columns, context.data_unit)
        any(warn_of_holes(self.blinding, grid.rows) for grid in context.grids)  # once is enough

    def mapper(self) -> "PickMapper":
        """Return the half that picks a block."""
        first, last = self.blinding
        blinding = int(first), int(last)
        return PickMapper(self._by_key, float(self.min_time_separation), blinding, self.columns)

    def counted(self, part: PickTable) -> Mapping[str, int]:
        """Return how many picks there are, and how many of each phase."""
        phases = part["phase"]
        each = {key: int(np.count_nonzero(phases == key)) for key, _ in self._by_key}
        return {"picks": len(phases), **each}

    def combine(self, parts: Sequence[PickTable]) -> PickTable:
        """Append tables."""
        return join(parts, self.columns)

    def finalize(self, part: PickTable) -> None:
        """Sort the picks."""
        self._picks = to_dataframe(part, self._place, self._units)

    def get_results_dataframe(self) -> pd.DataFrame:
        """Return `picks`."""
        return self.picks

    def get_results_dict(self) -> dict[str, Any]:
        """Return the table as ``"picks"`` and, per annotation key, its picks as objects."""
        picks = self.picks
        by_key = {
            key: PickList(picks[picks["phase"] == key], self._place) for key, _ in self._by_key
        }
        return {**by_key, "picks": picks}
