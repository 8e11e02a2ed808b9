"""An index of an archive: what is in it, and its arrays."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dasdist.safe_text import shown
from dasdist.units import count_of

__all__ = ["ArchiveIndex", "PathLike", "by_ending", "listed", "open_archive"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """An index of an archive: its files, arrays and problems.

    Parameters
    ----------
    path : Path
        The index; :func:`dasdist.open_archive` opens its arrays.
    files : int
        Readable files in it.
    members : int
        Arrays that they make.
    scanned : int
        Files whose headers this scan read; the others were in the index already.
    problems : pandas.DataFrame, columns path, kind, reason
        Files that are left out, wholly or in part, or that make an array of their own.
    unlooked : mapping of str to int
        How many files of the folders were not looked at, by the endings of their names.
    details : mapping of str to str
        What each engine said of a file that none reads, by its path; of this scan only.
    """

    path: Path
    files: int
    members: int
    scanned: int
    problems: pd.DataFrame = field(repr=False)
    unlooked: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        text = (
            f"{self.path}: {count_of(self.files, 'file')} in {count_of(self.members, 'array')}, "
            f"{self.scanned:,} scanned"
        )
        if self.unlooked:
            text += f"; not looked at: {by_ending(self.unlooked)}"
        if not len(self.problems):
            return shown(text)
        kinds = self.problems["kind"].value_counts()
        problems = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        return shown(f"{text}; problems: {problems}")

    @classmethod
    def read(cls, path: PathLike) -> "ArchiveIndex":
        """Read the index that an earlier scan wrote.

        Raises
        ------
        InvalidInput
            If the file is not an index.
        """
        from dasdist.archive.store import asked_of, load_places, load_unlooked
        from dasdist.sources.index import read_problems

        where = Path(os.path.abspath(path))
        asked_of(where)
        places = load_places(where)
        return cls(
            path=where,
            files=int((places >= 0).sum()),
            members=int(places.max(initial=-1)) + 1,
            scanned=0,
            problems=listed(read_problems(where)),
            unlooked=load_unlooked(where),
        )

    def table(self) -> pd.DataFrame:
        """Return a row for each readable file.

        Returns
        -------
        pandas.DataFrame
            Columns path, bytes, modified, start, stop, samples, sampling_interval (seconds), dtype,
            channels, channel_spacing, engine and array: which of the arrays holds it, or -1.
        """
        from dasdist.archive.store import load, load_places
        from dasdist.archive.table import file_table

        return file_table(load(self.path), load_places(self.path))

    def open(self, *, engine: str | None = None) -> Any:
        """Return the arrays, as :func:`dasdist.open_archive` does."""
        return open_archive(self.path, engine=engine)


def by_ending(counts: Mapping[str, int]) -> str:
    """Return how many files have which ending.

    Examples
    --------
    >>> by_ending({".txt": 12, "": 1})
    '12 .txt, 1 without an ending'
    """
    several = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {ending or 'without an ending'}" for ending, n in several)


def open_archive(path: PathLike, *, engine: str | None = None) -> Any:
    """Open the arrays of an index lazily, without opening the files of the archive.

    Parameters
    ----------
    path : path
        The index.
    engine : str, optional
        Engine that was named when the index was made and may run what a file holds, such as
        ``"miniseed"``: an index cannot grant it that.  Name it only if you trust the files.

    Returns
    -------
    xdas.DataArray or xdas.DataSequence
        One lazy array where sampling, channels and type never change, gaps in time included;
        else a sequence with an array for each stretch in which they agree.  Before a file is read,
        its size is compared with the one in the index.

    Raises
    ------
    InvalidInput
        If there is no such file, it is not an index, or it lists no readable file; if it names an
        engine that no file may name, and that is not `engine`.

    Examples
    --------
    >>> import tempfile
    >>> import dasdist
    >>> from dasdist.synthetic.section import write_archive
    >>> folder = tempfile.mkdtemp()
    >>> arrivals = write_archive(f"{folder}/2025", minutes=1.0, channels=4, gap=None)
    >>> index = dasdist.index_archive(f"{folder}/2025", f"{folder}/2025.nc")
    >>> data = dasdist.open_archive(f"{folder}/2025.nc")
    >>> data.sel(time=slice("2025-06-01T00:00:10", "2025-06-01T00:00:40")).shape
    (3001, 4)
    """
    from dasdist.sources.index import read_index

    return read_index(path, engine)


def listed(problems: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Return problems as a table with the columns path, kind and reason."""
    return pd.DataFrame(problems, columns=["path", "kind", "reason"], dtype=object)
