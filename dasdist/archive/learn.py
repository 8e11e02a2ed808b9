"""Learn from a file that was read in full where its samples and its times stand.

Nothing that an engine, or dasdist, reads may be left out of what is compared, unless a clock reads
it, too.  So left out are the samples of one dataset, times that a clock knows, and attributes that
no engine reads.  All else must be the same in the next file, or that one is read in full.
"""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py

from dasdist.archive.clocks import CLOCKS, moment_of
from dasdist.archive.hdf5_places import (
    Unlearned,
    attribute_places,
    dataset_places,
    modification_places,
    objects_of,
    samples_of,
    text_places,
)
from dasdist.archive.tdms_places import places_of_tdms
from dasdist.archive.template import Outline, Template, content_of, outline_of

__all__ = ["Lesson", "lesson_of"]

_KNOWN_OF_TIMES = {
    *("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "units", "calendar"),
    *("_Netcdf4Coordinates", "_Netcdf4Dimid", "long_name", "standard_name", "axis"),
}
"""Attributes of times that do not change what they mean beyond units and calendar."""

_CALENDARS = {"proleptic_gregorian", "standard", "gregorian"}

_TIMES_OF_PRODML = ("StartTime", "EndTime", "MeasurementStartTime", "StartIndex")
_TIMES_OF_TERRA15 = tuple(
    f"{what}_start_{clock}_time"
    for what in ("file", "saving", "server")
    for clock in ("computer", "gps")
)
"""Attributes that differ from file to file, and that neither xdas nor dasdist reads."""


class Lesson(NamedTuple):
    """What was learned of a file, as it is sent between processes.

    Parameters
    ----------
    outline : list
        Fields of its :class:`~dasdist.archive.template.Outline`.
    constants : dict
        What its clock needs.
    """

    outline: list[Any]
    constants: dict[str, Any]


class _Places(NamedTuple):
    """What HDF5 files of an engine have where.

    Parameters
    ----------
    samples : str
        The dataset with the samples.
    times : mapping of str to str
        Datasets that differ, and the names of their holes.
    attributes : mapping of str to str
        Attributes that differ, on whatever object, and the names of their holes.
    texts : mapping of str to str
        Texts that stand somewhere else in the file, and the names of their holes.
    constants : mapping
        What the clock needs.
    """

    samples: str
    times: Mapping[str, str] = MappingProxyType({})
    attributes: Mapping[str, str] = MappingProxyType({})
    texts: Mapping[str, str] = MappingProxyType({})
    constants: Mapping[str, Any] = MappingProxyType({})


def lesson_of(
    path: str, size: int, form: Mapping[str, Any], options: Mapping[str, Any]
) -> Lesson | None:
    """Return what can be learned of a file that was read in full.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Its size in bytes.
    form : mapping
        The form of its header.
    options : mapping
        Options of its engine.

    Returns
    -------
    Lesson or None
        None if other files cannot be compared with this one by their bytes.
    """
    engine = form["engine"]["name"]
    if engine not in CLOCKS:
        return None
    constants: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            if engine == "silixa":
                outline = places_of_tdms(file, size)
            else:
                outline, constants = _of_hdf5(file.fileno(), path, size, form, options)
            content = content_of(file.fileno(), outline) if outline else b""
    except (Unlearned, OSError, ValueError, LookupError, TypeError, RuntimeError, struct.error):
        return None
    if outline is None:
        return None
    facts = Template(outline, content).facts(content)
    if facts is None or moment_of(engine, facts, constants) is None:
        return None
    return Lesson(outline.fields(), constants)


def _of_hdf5(
    number: int, path: str, size: int, form: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Outline | None, dict[str, Any]]:
    """Return the outline of an HDF5 file, and what its clock needs."""
    with h5py.File(path, "r") as file:
        places = _PLACES[form["engine"]["name"]](file, form, options)
        objects = list(objects_of(file))
        samples = samples_of(file[places.samples])
        bare = outline_of(size, samples, [])
        if bare is None:
            return None, {}
        content = content_of(number, bare)
        found = modification_places(content, objects)
        for attribute, hole in places.attributes.items():
            found += attribute_places(content, attribute, hole, objects)
        for text, hole in places.texts.items():
            found += text_places(content, text, hole)
        holes = [bare.in_file(hole) for hole in found]
        for name, hole in places.times.items():
            holes += dataset_places(file[name], hole)
    return outline_of(size, samples, holes), dict(places.constants)


def _xdas(file: Any, form: Mapping[str, Any], options: Mapping[str, Any]) -> _Places:
    del options
    name = form["time"]["name"]
    (times,) = (file[key] for key in (name, f"{name}_values") if _counts(file.get(key)))
    attributes = dict(times.attrs)
    if attributes.keys() - _KNOWN_OF_TIMES or attributes.get("calendar", "") not in _CALENDARS:
        raise Unlearned(f"{times.name} may mean something else")
    places = _Places(form["engine"]["dataset"], {times.name: "times"})
    return places._replace(texts={attributes["units"]: "units"})


def _counts(entry: Any) -> bool:
    """Return whether an entry of a file counts whole units since a time."""
    return isinstance(entry, h5py.Dataset) and "units" in entry.attrs and entry.dtype == "<i8"


def _prodml(file: Any, form: Mapping[str, Any], options: Mapping[str, Any]) -> _Places:
    del form, options
    raw = file["Acquisition/Raw[0]"]
    attributes = {"PartStartTime": "start", "PartEndTime": "end"}
    places = _Places(
        "Acquisition/Raw[0]/RawData", {}, {**attributes, **dict.fromkeys(_TIMES_OF_PRODML, "")}
    )
    times = raw.get("RawDataTime")
    if times is None or times.dtype.kind not in "iu" or times.ndim != 1:
        return places
    constants = {"times": times.dtype.str}
    return places._replace(times={times.name: "times"}, constants=constants)


def _febus(file: Any, form: Mapping[str, Any], options: Mapping[str, Any]) -> _Places:
    engine = form["engine"]
    (device,) = file
    source = file[device]["Source1"]
    if source["time"].dtype != "<f8":
        raise Unlearned("its times are no doubles")
    step = source["Zone1"].attrs["Spacing"][1] / 1000.0
    offset = options.get("offset")
    offset = engine["block_size"] // 2 if offset is None else offset
    shift = float((engine["overlaps"][0] - offset) * step)
    places = _Places(engine["dataset"], {source["time"].name: "times"})
    return places._replace(constants={"shift": shift})


def _terra15(file: Any, form: Mapping[str, Any], options: Mapping[str, Any]) -> _Places:
    del form
    product = file["data_product"]
    if options or product["gps_time"].dtype != "<f8":
        raise Unlearned("its times are in another zone, or no doubles")
    unread = [f"{name}_string" for name in _TIMES_OF_TERRA15]
    texts = {file.attrs[name]: "" for name in unread if isinstance(file.attrs.get(name), str)}
    times = {"gps_time": "times", "posix_time": ""}
    return _Places(
        "data_product/data",
        {f"data_product/{name}": hole for name, hole in times.items() if name in product},
        dict.fromkeys(_TIMES_OF_TERRA15, ""),
        texts,
    )


def _apsensing(file: Any, form: Mapping[str, Any], options: Mapping[str, Any]) -> _Places:
    del form, options
    text = file["Metadata"]["Timestamp"][()].item().decode("ascii")
    return _Places("DAS", texts={text: "start"})


def _asn(file: Any, form: Mapping[str, Any], options: Mapping[str, Any]) -> _Places:
    del form, options
    if file["header/time"].dtype != "<f8":
        raise Unlearned("its time is no double")
    return _Places("data", {"header/time": "times"})


_PLACES: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], _Places]] = {
    "xdas": _xdas,
    "prodml": _prodml,
    "febus": _febus,
    "terra15": _terra15,
    "apsensing": _apsensing,
    "asn": _asn,
}
