"""What samples are and in which unit, as far as the data says."""

from collections.abc import Mapping, Sequence
from typing import Any

from dasdist.plot.axes import as_label
from dasdist.plot.raster import Raster, Value

__all__ = ["label_of"]


def label_of(data: Any, raster: Raster, value: Value, *, balanced: bool) -> str:
    """Return the label of a colour bar: quantity, unit, and how pixels came about.

    Parameters
    ----------
    data : object
        With ``attrs``: ``long_name`` and ``units`` as CF has them; of a collection, the first.
    raster : Raster
        Its pixels.
    value : {"samples", "rms"}
        What they show.
    balanced : bool
        Whether channels were divided by their medians.
    """
    quantity, unit = _stated(data)
    samples, channels = raster.per_pixel
    of = f"{samples:,} samples" + f" x {channels:,} channels" * (channels > 1)
    how = f"root mean square of {of} a pixel"
    if value == "samples":
        how = f"largest of {of} a pixel" if samples * channels > 1 else ""
    if raster.share < 1:
        how += f", of which {raster.share:.2g} were read"
    label = f"{quantity} / median of its channel" if balanced else f"{quantity} ({unit})"
    return f"{label}\n{how}" if how else label


def _stated(data: Any) -> tuple[str, str]:
    while isinstance(data, Sequence | Mapping) and not isinstance(data, str | bytes) and len(data):
        data = next(iter(data.values() if isinstance(data, Mapping) else data))
    attrs = getattr(data, "attrs", None)
    held = attrs if isinstance(attrs, Mapping) else {}
    name = held.get("long_name") or held.get("standard_name") or getattr(data, "name", None)
    unit = held.get("units") or held.get("unit")
    quantity = str(name or "amplitude").replace("_", " ")
    return as_label(quantity), as_label(unit) if unit else "unit not stated"
