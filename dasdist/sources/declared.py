"""What a file says of its numbers: which of them are no samples, and how to unpack the others.

The attributes are those of the CF conventions (section 2.5.1 and 8.1) and of netCDF::

    _FillValue, missing_value             these values are missing
    valid_range, valid_min, valid_max     so is what lies outside
    scale_factor, add_offset              sample = stored * scale_factor + add_offset

All but the last speak of the values as they are stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dasdist.sources.chunks import beside

__all__ = ["Declared", "declared_by", "first_declared"]

_NAMES = (
    *("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max"),
    *("scale_factor", "add_offset", "_Unsigned"),
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What attributes say of stored numbers.

    Parameters
    ----------
    missing : tuple of float or int
        Values that stand for missing samples.
    least, most : float, int or None
        What lies beyond is missing, too.
    scale, offset : float or None
        How to unpack; None where nothing is said.
    unsigned : bool
        Whether stored integers are unsigned, whatever their type.

    Examples
    --------
    >>> told = Declared.of({"_FillValue": [-1], "scale_factor": 0.5}, np.dtype("int16"))
    >>> stored = np.array([-1, 4], dtype="int16")
    >>> told.mask(stored).tolist(), told.unpacked(stored).tolist(), told.dtype(stored.dtype)
    ([True, False], [-0.5, 2.0], dtype('float32'))
    """

    missing: tuple[Any, ...] = ()
    least: Any = None
    most: Any = None
    scale: float | None = None
    offset: float | None = None
    unsigned: bool = False

    @classmethod
    def of(cls, attributes: Mapping[str, Any], stored: np.dtype[Any]) -> "Declared":
        """Read attributes; those that are no numbers say nothing."""
        held = {name: attributes[name] for name in _NAMES if name in attributes}
        unsigned = stored.kind == "i" and _text(held.get("_Unsigned")) == "true"
        kind = np.dtype(f"u{stored.itemsize}") if unsigned else stored
        values = (*_numbers(held, "_FillValue", kind), *_numbers(held, "missing_value", kind))
        held |= {name: _in_counts(held, name, stored) for name in held if name.startswith("valid")}
        bounds = _numbers(held, "valid_range", kind)
        low, high = bounds if len(bounds) == 2 else (None, None)
        return cls(
            missing=tuple(dict.fromkeys(v for v in values if not np.isnan(v))),
            least=next(iter(_numbers(held, "valid_min", kind)), low),
            most=next(iter(_numbers(held, "valid_max", kind)), high),
            scale=next(iter(_numbers(held, "scale_factor")), None),
            offset=next(iter(_numbers(held, "add_offset")), None),
            unsigned=unsigned,
        )

    @property
    def anything(self) -> bool:
        """Whether anything is said that matters."""
        return self != Declared()

    @property
    def is_packed(self) -> bool:
        """Whether samples are others than the numbers that are stored."""
        return self.unsigned or self.scale is not None or self.offset is not None

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of samples: one that holds them to about what their counts tell."""
        if self.scale is None and self.offset is None:
            return np.dtype(f"u{stored.itemsize}") if self.unsigned else stored
        if stored.kind == "f":
            return stored.newbyteorder("=")
        return np.dtype("f4" if stored.itemsize <= 2 and not self.offset else "f8")

    def mask(self, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return which stored values are missing; None if nothing is said of that."""
        if self.unsigned:
            stored = stored.view(f"u{stored.dtype.itemsize}")
        tests = [stored == value for value in self.missing]
        tests += [stored < self.least] if self.least is not None else []
        tests += [stored > self.most] if self.most is not None else []
        return np.logical_or.reduce(tests) if tests else None

    def unpacked(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the samples."""
        if self.unsigned:
            stored = stored.view(f"u{stored.dtype.itemsize}")
        if self.scale is None and self.offset is None:
            return stored
        values = stored.astype(self.dtype(stored.dtype))
        if self.scale is not None:
            values *= self.scale
        if self.offset is not None:
            values += self.offset
        return values

    @property
    def what(self) -> str:
        """What missing values are, as the end of a sentence."""
        told = [f"are {value}" for value in self.missing]
        if self.least is not None or self.most is not None:
            told.append(_beyond(self.least, self.most))
        return f"{' or '.join(told)}, which the file declares missing"


def _beyond(least: Any, most: Any) -> str:
    if most is None:
        return f"lie below {least}"
    return f"lie above {most}" if least is None else f"lie outside {least} to {most}"


def declared_by(dataset: Any) -> Declared:
    """Return what an HDF5 dataset declares; of a virtual one, the first that it links to."""
    found = Declared.of(dataset.attrs, dataset.dtype)
    if found.anything or not dataset.is_virtual:
        return found
    properties = dataset.id.get_create_plist()
    if properties.get_virtual_count() == 0:
        return found
    name, link = properties.get_virtual_dsetname(0), properties.get_virtual_filename(0)
    if link == ".":
        return declared_by(dataset.file[name])
    try:
        with h5py.File(beside(dataset.file.filename, link), "r") as linked:
            return declared_by(linked[name])
    except (OSError, KeyError):
        return found


def first_declared(path: str, name: str) -> Declared:
    """Return what a dataset of a file declares; nothing if it cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            return declared_by(file[name])
    except (OSError, KeyError):
        return Declared()


def _numbers(
    held: Mapping[str, Any], name: str, dtype: np.dtype[Any] | None = None
) -> tuple[Any, ...]:
    """Return the numbers of an attribute; in a type that it must fit, if one is given."""
    if name not in held:
        return ()
    values = np.ravel(held[name])
    if values.dtype.kind not in "iuf":
        return ()
    if dtype is not None and dtype.kind in "iu" and values.dtype.kind in "iu":
        bits = 2 ** (8 * dtype.itemsize)
        info = np.iinfo(dtype)
        numbers = [int(value) for value in values]
        if dtype.kind == "u":  # netCDF has no unsigned attributes: -1 means 65535
            numbers = [n + bits if n < 0 else n for n in numbers]
        return tuple(n for n in numbers if info.min <= n <= info.max)
    if dtype is not None and dtype.kind == "f":
        return tuple(values.astype(dtype))
    return tuple(values.tolist())


def _in_counts(held: Mapping[str, Any], name: str, stored: np.dtype[Any]) -> Any:
    """Return a bound as it is stored: real numbers beside packed ones are in the samples' unit."""
    bound = np.ravel(held[name])
    if bound.dtype.kind != "f" or stored.kind == "f":
        return bound
    scale = next(iter(_numbers(held, "scale_factor")), 1.0)
    offset = next(iter(_numbers(held, "add_offset")), 0.0)
    counts = (bound - offset) / scale
    return np.sort(counts) if name == "valid_range" else counts


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).lower()
