"""Options of picking: which values make sense, by themselves, for a model and for its patches."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np

from dasdist.callbacks.picks import MORE_COLUMNS
from dasdist.errors import DataWarning, InvalidInput
from dasdist.geometry.patches import PatchGrid
from dasdist.spelling import nearest

__all__ = [
    "check_options",
    "check_thresholds",
    "chosen_columns",
    "thresholds_by_key",
    "warn_of_holes",
]


def check_options(thresholds: Any, min_time_separation: Any, blinding: Any) -> None:
    """Refuse options that no model could take."""
    if not all(isinstance(v, Real) and 0 <= float(v) < inf for v in _each(thresholds)):
        raise InvalidInput(_no_threshold(thresholds))
    if not (isinstance(min_time_separation, Real) and 0 <= float(min_time_separation) < inf):
        raise InvalidInput(
            f"min_time_separation={min_time_separation!r}: give seconds, at least 0."
        )
    if np.shape(blinding) != (2,) or not all(
        isinstance(b, Integral) and int(b) >= 0 for b in blinding
    ):
        raise InvalidInput(
            f"blinding={blinding!r}: give two whole numbers of outputs, each at least 0."
        )


def chosen_columns(columns: Any) -> tuple[str, ...]:
    """Return the optional columns that are asked for, in the order that they have in tables.

    Raises
    ------
    InvalidInput
        If there is none of such a name.

    Examples
    --------
    >>> chosen_columns(["snr", "amplitude"]), chosen_columns("snr"), chosen_columns(())
    (('amplitude', 'snr'), ('snr',), ())
    """
    asked = [columns] if isinstance(columns, str) else list(columns)
    for name in asked:
        if name not in MORE_COLUMNS:
            near = nearest(str(name), tuple(MORE_COLUMNS))
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidInput(
                f"columns={name!r}: the optional columns of picks are {', '.join(MORE_COLUMNS)}; "
                f"all others are always there.{hint}"
            )
    return tuple(name for name in MORE_COLUMNS if name in asked)


def check_thresholds(
    thresholds: float | Mapping[str, float], keys: Sequence[str], phases: Sequence[str]
) -> None:
    """Refuse thresholds of phases that a model does not have, or that no probability reaches.

    The callbacks take the latter, for a model of one's own may annotate with something else.

    Parameters
    ----------
    thresholds, keys, phases
        As for :func:`thresholds_by_key`.

    Raises
    ------
    InvalidInput
        If there are any.
    """
    if max(_each(thresholds), default=0) > 1:
        raise InvalidInput(_no_threshold(thresholds))
    thresholds_by_key(thresholds, keys, phases)


def _each(thresholds: Any) -> Collection[Any]:
    return thresholds.values() if isinstance(thresholds, Mapping) else [thresholds]


def _no_threshold(thresholds: Any) -> str:
    return (
        f"thresholds={thresholds!r}: the confidence of a pick is a probability, so give a number "
        "from 0 to 1, such as 0.3, or one for each phase, such as {'P': 0.3, 'S': 0.2}."
    )


def thresholds_by_key(
    thresholds: float | Mapping[str, float],
    keys: Sequence[str],
    phases: Sequence[str] | None = None,
) -> tuple[tuple[str, float], ...]:
    """Return each annotation key to pick, in the order of the model, with its threshold.

    Parameters
    ----------
    thresholds : float or mapping of str to float
        As for :class:`DASPickingCallback`.
    keys, phases : sequence of str
        Annotation keys of a model, and those of them whose peaks are arrivals; by default all.

    Raises
    ------
    InvalidInput
        If a threshold is of a phase that the model does not have, or one has no threshold.

    Examples
    --------
    >>> thresholds_by_key({"S": 0.2, "P": 0.3}, ["P", "S", "N"], ["P", "S"])
    (('P', 0.3), ('S', 0.2))
    """
    phases = keys if phases is None else phases
    if not isinstance(thresholds, Mapping):
        if not any(key in phases for key in keys):
            raise InvalidInput(
                f"The model names no phases among its outputs {', '.join(map(repr, keys))}, so "
                "nothing would be picked: give thresholds by output, such as "
                f"{{{keys[0]!r}: {thresholds}}}, or call annotate."
            )
        return tuple((key, float(thresholds)) for key in keys if key in phases)
    for key in thresholds:
        if key not in keys:
            raise InvalidInput(_unknown_phase(key, phases, keys))
    missing = [key for key in phases if key not in thresholds]
    if missing:
        raise InvalidInput(
            f"thresholds has no value for {', '.join(map(repr, missing))}; give one for each "
            "phase, or a single number for all."
        )
    return tuple((key, float(thresholds[key])) for key in keys if key in thresholds)


def _unknown_phase(name: str, phases: Sequence[str], keys: Sequence[str]) -> str:
    """Say which phases a model has, and what else it annotates."""
    near = nearest(name, keys)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    others = [key for key in keys if key not in phases]
    more = f", and it also annotates {', '.join(map(repr, others))}" if others else ""
    return (
        f"There is no phase {name!r} for a threshold: the model's phases are "
        f"{', '.join(map(repr, phases))}{more}.{hint}"
    )


def warn_of_holes(blinding: tuple[int, int], rows: PatchGrid) -> bool:
    """Warn if outputs between patches, or all of them, are never picked; tell whether so."""
    trim = sum(blinding) + 2  # a peak has neighbours, so it is none of the outermost
    outputs = min(rows.out, rows.out_size)  # a padded segment has fewer than its patch
    if outputs <= trim:
        warnings.warn(
            f"blinding={blinding!r} leaves no place for a peak in the {outputs} outputs of a "
            f"{'padded segment' if rows.padded else 'patch'}: nothing will be picked. Use a "
            "smaller blinding.",
            DataWarning,
            stacklevel=3,
        )
    elif rows.hole(trim=sum(blinding)) > 0:
        enough = min(rows.window - 1, rows.window - int((rows.out - trim) * rows.stride))
        warnings.warn(
            f"overlap_samples={rows.window - rows.shift} is too small for blinding={blinding!r}: "
            f"between neighbouring patches up to {rows.hole(trim)} outputs are never picked. "
            f"Use overlap_samples={enough} (in the model's patching structure, if that states one) "
            "or a smaller blinding.",
            DataWarning,
            stacklevel=3,
        )
    else:
        return False
    return True
