"""Index an archive once; plan and run from the index, however many files there are."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from distributed import Client

from dasdist.errors import InvalidInput, OutputUnwritable
from dasdist.executors.clients import current_client, synchronous
from dasdist.safe_text import shown
from dasdist.units import count_of

if TYPE_CHECKING:  # xdas takes seconds to import
    from dasdist.archive.header import Header, Problem
    from dasdist.archive.scan import Asking
    from dasdist.archive.walk import Found

__all__ = ["ArchiveIndex", "by_ending", "index_archive", "open_archive"]

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
            problems=_listed(read_problems(where)),
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


def index_archive(
    paths: PathLike | Iterable[PathLike],
    out: PathLike,
    *,
    engine: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
    client: Client | None = None,
    processes: int | None = None,
    seconds_per_file: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveIndex:
    """Scan the headers of an archive's files, and write them to an index.

    After a scan that was killed, the same call goes on where it stopped.  Where there is an index
    already, only files are scanned that are new, that changed in size or time of modification, or
    that could not be read before; files that do not exist any more are removed from the index, and
    listed in `problems`.

    Parameters
    ----------
    paths : path or iterable of path
        Folders with all below them, patterns such as ``"2024/*/*.h5"``, and files.  In folders,
        files that end in .h5, .hdf, .hdf5, .nc, .tdms, .das, .sgy or .segy are taken, others if
        they begin as HDF5, TDMS or Sintela's files do, or all if `engine` is given; hidden files
        never.
    out : path
        The index, a NetCDF file such as ``"2024.nc"``.  Where files lie in its folder or below it,
        both can be moved together.
    engine : str, optional
        Engine of xdas, or ``"dascore"`` for what DASCore reads.  By default, those that fit the
        first bytes of a file are tried, see :mod:`dasdist.sources.engines`; others must be named.
        Of these, those that may run what a file holds must be named again to open the index.
    engine_options : mapping, optional
        Options of that engine, such as ``{"overlaps": (25, 25)}`` of ``"febus"``,
        ``{"swapped_dims": True}`` of ``"prodml"`` or ``{"format": "SEGY"}`` of ``"dascore"``.
    client : distributed.Client, optional
        Where to scan; by default on the current client's cluster, else on this machine.
    processes : int, optional
        How many processes scan without a cluster; one per core by default.
    seconds_per_file : float
        Time after which reading a file counts as hanging.
    progress : callable, optional
        Called with the numbers of files scanned so far and of files to scan.

    Returns
    -------
    ArchiveIndex
        Its `problems` are of these kinds.  Left out: ``unreadable``; ``crash`` and ``hang`` (of the
        reading library); ``format`` and ``dtype`` (not samples that a model takes); ``links`` (the
        samples lie in other files); ``coordinates``; ``repeat`` (the same samples as another
        file); ``gone`` (deleted since the last scan).  Left out wholly or in part: ``overlap`` (in
        time).  In a separate array: ``sampling``, ``channels``, ``dtype``, ``format``.  All used,
        but with what the engine had to guess: ``guess``.

    Raises
    ------
    InvalidInput
        If there is nothing at a path, or no file to look at; if there is no such engine or option;
        or if `out` is not an index.
    OutputUnwritable
        If the index cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import dasdist
    >>> from dasdist.synthetic.section import write_archive
    >>> folder = tempfile.mkdtemp()
    >>> arrivals = write_archive(f"{folder}/2025", minutes=1.0, channels=4, gap=None)
    >>> index = dasdist.index_archive(f"{folder}/2025", f"{folder}/2025.nc")
    >>> index.files, index.members, len(index.problems)
    (2, 1, 0)
    >>> dasdist.open_archive(f"{folder}/2025.nc").shape
    (6000, 4)
    """
    from dasdist.archive.build import build
    from dasdist.archive.header import Header
    from dasdist.archive.scan import Asking
    from dasdist.archive.scan_journal import open_journal
    from dasdist.archive.store import VERSION, asked_of, load, save
    from dasdist.archive.walk import find_files
    from dasdist.sources.trusted import allow

    target = Path(os.path.abspath(out))
    options = dict(engine_options or {})
    _check(target, engine, options, processes, seconds_per_file)
    allow(engine)
    asked = {"version": VERSION, "engine": engine, **({"options": options} if options else {})}
    asked = json.loads(json.dumps(asked))  # as they are when read again
    same = target.exists() and asked_of(target) == asked
    before = load(target) if same else []
    found, problems, unlooked = find_files(paths, every=engine is not None)
    found.pop(str(target), None)
    if not found and not problems:
        raise InvalidInput(_nothing(paths, unlooked))
    with open_journal(target, asked) as journal:
        known = _still_true([*before, *journal.headers.values()], found, target, engine)
        missing = [path for path in found if path not in known]
        if progress:
            progress(0, len(missing))
        asking = Asking(engine, options, seconds_per_file)
        answers = _scan(missing, asking, client, processes)
        for done, answer in enumerate(answers, 1):
            if isinstance(answer, Header):
                journal.add(answer)
                known[answer.path] = answer
            else:
                problems.append(answer)
            if progress:
                progress(done, len(missing))
        headers = [known[path] for path in sorted(known)]
        built = build(headers)
        problems += [*built.problems, *_gone(before, found)]
        problems.sort(key=lambda problem: problem.path)
        save(target, asked, headers, built, problems, unlooked)
    return ArchiveIndex(
        path=target,
        files=int((built.places >= 0).sum()),
        members=len(built.members),
        scanned=len(missing),
        problems=_listed([(p.path, p.kind, p.reason) for p in problems]),
        unlooked=dict(unlooked),
        details={p.path: p.details for p in problems if p.details},
    )


def by_ending(counts: Mapping[str, int]) -> str:
    """Return how many files have which ending.

    Examples
    --------
    >>> by_ending({".txt": 12, "": 1})
    '12 .txt, 1 without an ending'
    """
    several = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {ending or 'without an ending'}" for ending, n in several)


def _nothing(paths: Any, unlooked: Mapping[str, int]) -> str:
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    named = ", ".join(os.fspath(path) for path in given[:3]) + (", …" if len(given) > 3 else "")
    seen = f"; not looked at, for they are no HDF5: {by_ending(unlooked)}" if unlooked else ""
    return (
        f"There is no recording in {named}{seen}. Pass folders that hold some, or name their "
        "format (--engine): then every file is looked at."
    )


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


def _check(
    target: Path,
    engine: str | None,
    options: Mapping[str, Any],
    processes: int | None,
    seconds_per_file: float,
) -> None:
    from dasdist.sources.engines import check_engine
    from dasdist.sources.formats import is_function, known_formats

    if not target.parent.is_dir():
        raise InvalidInput(
            f"The index cannot be written: there is no folder {target.parent}. Make it first."
        )
    if target.is_dir():
        raise InvalidInput(
            f"The index cannot be written: {target} is a folder. Name a file in it, such as "
            f"{target / 'index.nc'}."
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputUnwritable(
            f"The index {target} cannot be written: you may not write to {target.parent}. Choose "
            "another folder for it."
        )
    if engine is not None and (is_function(engine) or engine in known_formats()):
        raise InvalidInput(
            f"{engine!r} is a format that was added to dasdist, and an index holds only what xdas "
            "and DASCore read. Give classify, annotate or plan a pattern of these files with "
            f"--engine {engine}; in Python, pass dasdist.open_files(paths, {engine!r})."
        )
    check_engine(engine, options)
    if not seconds_per_file > 0:
        raise InvalidInput(
            f"seconds_per_file is {seconds_per_file!r}; use more than 0 s, such as 60."
        )
    if processes is not None and processes < 1:
        raise InvalidInput(f"processes is {processes!r}; use 1 or more.")


def _still_true(
    headers: Iterable["Header"], found: "Found", target: Path, engine: str | None
) -> dict[str, "Header"]:
    """Return the headers of files whose size and time of modification have not changed."""
    from dasdist.archive.header import is_current
    from dasdist.sources.trusted import check_reader

    same = [h for h in headers if found.get(h.path) == (h.bytes, h.modified)]
    forms = {form: json.loads(form) for form in {h.form for h in same}}
    for form in forms.values():
        check_reader(form["engine"], f"The index {target}", named=(engine,))
    current = {text: is_current(form) for text, form in forms.items()}
    return {h.path: h for h in same if current[h.form]}


def _scan(
    paths: list[str],
    asking: "Asking",
    client: Client | None,
    processes: int | None,
) -> Iterator["Header | Problem"]:
    from dasdist.archive.scan import scan_here, scan_on

    with synchronous(client or current_client()) as cluster:
        if cluster is None:
            cores = len(os.sched_getaffinity(0))
            yield from scan_here(paths, asking, processes or cores)
        else:
            yield from scan_on(cluster, paths, asking)


def _gone(before: list["Header"], found: "Found") -> Iterator["Problem"]:
    from dasdist.archive.header import Problem

    for header in before:
        if header.path not in found:
            there = os.path.exists(header.path)
            why = "it is not among the given paths any more" if there else "it was deleted"
            yield Problem(header.path, "gone", f"{why}; it was removed from the index")


def _listed(problems: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(problems, columns=["path", "kind", "reason"], dtype=object)
