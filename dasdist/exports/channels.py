"""Where the channels of a fibre lie: from a table, from coordinates of a recording, on a line."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["ChannelTable"]

_NEEDED = ("channel", "longitude", "latitude")
_RULES = (
    "A geometry file has a header and the columns channel, longitude, latitude (degrees, WGS84) "
    "and elevation (metres; 0 where the column is missing), with commas between them."
)
_NAMED = 5  # of the channels that are missing


@dataclass(frozen=True, slots=True, eq=False)
class ChannelTable:
    """Where channels lie.

    Parameters
    ----------
    channel : array of int
        Numbers of channels as in the column `channel_index` of picks, shape (channels,).
    longitude, latitude : array of float
        Degrees, WGS84.
    elevation : array of float
        Metres above sea level.

    Raises
    ------
    InvalidInput
        If the columns differ in length, a channel comes twice, or a place is not on the globe.

    Examples
    --------
    >>> table = ChannelTable([4, 2], [-17.8, -17.9], [28.6, 28.5], [10.0, 0.0])
    >>> table.channel.tolist(), table.at([2, 4, 2]).longitude.tolist()
    ([2, 4], [-17.9, -17.8, -17.9])
    """

    channel: NDArray[np.int64]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    elevation: NDArray[np.float64]

    def __post_init__(self) -> None:
        channel = np.asarray(self.channel, dtype=np.int64)
        rest = {
            name: np.asarray(getattr(self, name), dtype=np.float64)
            for name in ("longitude", "latitude", "elevation")
        }
        if channel.ndim != 1 or any(column.shape != channel.shape for column in rest.values()):
            raise InvalidInput("The columns of a geometry need the same number of channels.")
        rows = np.argsort(channel, kind="stable")
        object.__setattr__(self, "channel", channel[rows])
        for name, column in rest.items():
            object.__setattr__(self, name, column[rows])
        self._check()

    def _check(self) -> None:
        twice = self.channel[1:][np.diff(self.channel) == 0]
        if twice.size:
            raise InvalidInput(
                f"Channel {twice[0]} comes twice in the geometry; keep one row of it."
            )
        for name, low, high in (("longitude", -180, 360), ("latitude", -90, 90)):
            values = getattr(self, name)
            wrong = ~((low <= values) & (values <= high))
            if wrong.any():
                raise InvalidInput(
                    f"Channel {self.channel[wrong][0]} of the geometry has {name} "
                    f"{values[wrong][0]:g}, which is not within {low} to {high} degrees."
                )
        if (lost := ~np.isfinite(self.elevation)).any():
            raise InvalidInput(f"Channel {self.channel[lost][0]} of the geometry has no elevation.")

    def __len__(self) -> int:
        return len(self.channel)

    def at(self, channels: Any) -> "Places":
        """Return the places of channels, one for each that is asked for.

        Raises
        ------
        InvalidInput
            If a channel is not in the table.
        """
        wanted = np.asarray(channels, dtype=np.int64)
        rows = np.minimum(np.searchsorted(self.channel, wanted), max(len(self) - 1, 0))
        found = self.channel[rows] == wanted if len(self) else np.zeros(wanted.shape, dtype=bool)
        if not found.all():
            lost = np.unique(wanted[~found])
            named = ", ".join(map(str, lost[:_NAMED])) + (", ..." if lost.size > _NAMED else "")
            held = f"{self.channel[0]} to {self.channel[-1]}" if len(self) else "none"
            raise InvalidInput(
                f"The geometry holds no place for {count_of(lost.size, 'channel')} of the picks "
                f"({named}; it holds {held}): channels are numbered as in the column "
                "channel_index, from 0."
            )
        return Places(wanted, self.longitude[rows], self.latitude[rows], self.elevation[rows])

    @classmethod
    def read_csv(cls, path: str | Path) -> "ChannelTable":
        """Read a table of channels from a CSV file.

        Parameters
        ----------
        path : str or Path
            Columns ``channel``, ``longitude``, ``latitude`` and, if not 0, ``elevation``, in any
            order and case; others are ignored.

        Raises
        ------
        InvalidInput
            If the file is not there, a column is missing, or a cell holds no number.
        """
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                rows = list(_cells(str(path), csv.reader(file)))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InvalidInput(f"{path} cannot be read as a geometry: {error}. {_RULES}") from error
        return cls(*(np.array(column) for column in zip(*rows, strict=True)))

    @classmethod
    def of(cls, recording: Any) -> "ChannelTable":
        """Take the places of channels from the coordinates of a recording.

        Parameters
        ----------
        recording : xarray.DataArray or xdas.DataArray
            With coordinates ``longitude`` and ``latitude`` (degrees) along its channels, and maybe
            ``elevation`` (metres).

        Raises
        ------
        InvalidInput
            If it has none.
        """
        coords: Mapping[str, Any] = getattr(recording, "coords", {})
        if "longitude" not in coords or "latitude" not in coords:
            raise InvalidInput(
                "The recording has no coordinates longitude and latitude along its channels; give "
                "the geometry as a CSV file."
            )
        longitude, latitude = (np.asarray(coords[name].values) for name in _NEEDED[1:])
        elevation = np.zeros(longitude.shape)
        if "elevation" in coords:
            elevation = np.asarray(coords["elevation"].values)
        return cls(np.arange(longitude.size), longitude, latitude, elevation)

    @classmethod
    def line(
        cls,
        first: tuple[float, float],
        last: tuple[float, float],
        channels: int,
        elevation: float = 0.0,
    ) -> "ChannelTable":
        """Lay channels evenly along the shortest line between two points.

        Parameters
        ----------
        first, last : (float, float)
            Longitude and latitude, in degrees, of channel 0 and of the last one.
        channels : int
            How many.
        elevation : float
            Of all of them, in metres.

        Raises
        ------
        InvalidInput
            If there are fewer than two channels, or geographiclib is not installed.

        Notes
        -----
        The line is a geodesic of WGS84, by C. F. F. Karney's geographiclib (Algorithms for
        geodesics, J. Geodesy 87, 43-55, 2013).

        Examples
        --------
        >>> table = ChannelTable.line((10.0, 0.0), (10.2, 0.0), 3)  # doctest: +SKIP
        >>> table.longitude.round(6).tolist()  # doctest: +SKIP
        [10.0, 10.1, 10.2]
        """
        if channels < 2:
            raise InvalidInput(f"A line has at least 2 channels, not {channels}.")
        try:
            from geographiclib.geodesic import Geodesic
        except ModuleNotFoundError as error:
            raise InvalidInput(
                'A line between two points needs geographiclib: pip install "dasdist[export]".'
            ) from error
        line = Geodesic.WGS84.InverseLine(first[1], first[0], last[1], last[0])
        places = [line.Position(line.s13 * i / (channels - 1)) for i in range(channels)]
        return cls(
            np.arange(channels),
            np.array([place["lon2"] for place in places]),
            np.array([place["lat2"] for place in places]),
            np.full(channels, float(elevation)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places of channels in the order in which they were asked for."""

    channel: NDArray[np.int64]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    elevation: NDArray[np.float64]


def _cells(path: str, lines: Iterator[Sequence[str]]) -> Iterator[tuple[int, float, float, float]]:
    header = [name.strip().casefold() for name in next(lines, ())]
    if lacking := [name for name in _NEEDED if name not in header]:
        raise InvalidInput(f"{path} has no column {' or '.join(lacking)}. {_RULES}")
    at = {name: header.index(name) for name in (*_NEEDED, "elevation") if name in header}
    for number, line in enumerate(lines, 2):
        if not any(cell.strip() for cell in line):
            continue
        cells = {name: line[i] if i < len(line) else "" for name, i in at.items()}
        values = {name: _number(path, number, name, cell) for name, cell in cells.items()}
        if not values["channel"].is_integer():
            raise InvalidInput(f"{path}, line {number}: channel {cells['channel']} is not whole.")
        place = (values["longitude"], values["latitude"], values.get("elevation", 0.0))
        yield int(values["channel"]), *place


def _number(path: str, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(
            f"{path}, line {line}: {column} {cell.strip()!r} is not a number. {_RULES}"
        )
    return value
