"""Index an archive once; plan and run from the index, however many files there are.

::

    walk ---> what an earlier index, or scan, says of files that did not change
         ---> scan of the others ---> journal ---> build ---> store
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client

from dasdist.archive.index import ArchiveIndex, PathLike, listed
from dasdist.archive.wanted import check_wanted, nothing_there
from dasdist.errors import InvalidInput
from dasdist.executors.clients import current_client, synchronous

if TYPE_CHECKING:  # xdas takes seconds to import
    from dasdist.archive.header import Header, Problem
    from dasdist.archive.headers import Headers, Known
    from dasdist.archive.scan import Asking, Withdrawn
    from dasdist.archive.scan_journal import Journal
    from dasdist.archive.walk import Found

__all__ = ["index_archive"]


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

    Of files that are the same byte for byte, but for their samples and times, one is read in full,
    and of the others only when they start; now and then one of these is read in full, too, and all
    are if the two ways disagree.

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
    from dasdist.archive.headers import Headers, Known
    from dasdist.archive.scan import Asking
    from dasdist.archive.scan_journal import open_journal
    from dasdist.archive.store import VERSION, asked_of, load, save
    from dasdist.archive.walk import find_files
    from dasdist.sources.trusted import allow

    target = Path(os.path.abspath(out))
    options = dict(engine_options or {})
    check_wanted(target, engine, options, processes, seconds_per_file)
    allow(engine)
    asked = {"version": VERSION, "engine": engine, **({"options": options} if options else {})}
    asked = json.loads(json.dumps(asked))  # as they are when read again
    same = target.exists() and asked_of(target) == asked
    before = load(target) if same else Headers()
    found, problems, unlooked = find_files(paths, every=engine is not None)
    found.pop(str(target), None)
    if not found and not problems:
        raise InvalidInput(nothing_there(paths, unlooked))
    with open_journal(target, asked) as journal:
        known = Known(_still_true(chain(before, journal.headers), found, target, engine))
        missing = [path for path in found if path not in known]
        if progress:
            progress(0, len(missing))
        asking = Asking(engine, options, seconds_per_file)
        answers = _scan(missing, asking, client, processes)
        for done in _taken(answers, known, problems, journal):
            if progress:
                progress(done, len(missing))
        headers = known.by_path()
        built = build(headers)
        problems += [*built.problems, *_gone(before, found)]
        problems.sort(key=lambda problem: problem.path)
        save(target, asked, headers, built, problems, unlooked)
    return ArchiveIndex(
        path=target,
        files=int((built.places >= 0).sum()),
        members=len(built.members),
        scanned=len(missing),
        problems=listed([(p.path, p.kind, p.reason) for p in problems]),
        unlooked=dict(unlooked),
        details={p.path: p.details for p in problems if p.details},
    )


def _still_true(
    headers: Iterable["Header"], found: "Found", target: Path, engine: str | None
) -> Iterator["Header"]:
    """Yield the headers of files whose size and time of modification have not changed."""
    from dasdist.archive.header import is_current
    from dasdist.sources.trusted import check_reader

    current: dict[str, bool] = {}
    for header in headers:
        if found.get(header.path) != (header.bytes, header.modified):
            continue
        if header.form not in current:
            form = json.loads(header.form)
            check_reader(form["engine"], f"The index {target}", named=(engine,))
            current[header.form] = is_current(form)
        if current[header.form]:
            yield header


def _scan(
    paths: list[str],
    asking: "Asking",
    client: Client | None,
    processes: int | None,
) -> Iterator["Header | Problem | Withdrawn"]:
    from dasdist.archive.scan import scan_here, scan_on

    with synchronous(client or current_client()) as cluster:
        if cluster is None:
            cores = len(os.sched_getaffinity(0))
            yield from scan_here(paths, asking, processes or cores)
        else:
            yield from scan_on(cluster, paths, asking)


def _taken(
    answers: Iterable["Header | Problem | Withdrawn"],
    known: "Known",
    problems: list["Problem"],
    journal: "Journal",
) -> Iterator[int]:
    """Keep what a scan tells, and yield of how many files that is."""
    from dasdist.archive.header import Header, Problem

    done = 0
    for answer in answers:
        if isinstance(answer, Header):
            journal.add(answer)
            known.add(answer)
            done += 1
        elif isinstance(answer, Problem):
            problems.append(answer)
            done += 1
        else:
            journal.withdraw(answer.paths)
            known.forget(answer.paths)
            done -= len(answer.paths)
        yield done


def _gone(before: "Headers", found: "Found") -> Iterator["Problem"]:
    from dasdist.archive.header import Problem

    for path in before.paths():
        if path not in found:
            there = os.path.exists(path)
            why = "it is not among the given paths any more" if there else "it was deleted"
            yield Problem(path, "gone", f"{why}; it was removed from the index")
