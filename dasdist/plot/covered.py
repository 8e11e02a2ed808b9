"""The picture of coverage: what of a recording a run has done, failed at, or not reached yet."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.journal.coverage import Coverage, cover
from dasdist.journal.reading import grids_of, read_history
from dasdist.journal.run_file import read
from dasdist.journal.status import Status, journal_folder, no_run
from dasdist.plot.axes import FibreAxis, drawn_axes
from dasdist.plot.images import class_patch, draw_classes, name_classes
from dasdist.plot.libraries import Backend, check_backend

__all__ = ["STATES", "coverage", "states_of"]

STATES = {
    "not computed": "#FFFFFF",
    "in part": "#56B4E9",
    "done": "#0072B2",
    "failed or missing": "#D55E00",
}
"""States of a cell and their colours."""

_CELLS = (100, 600)  # along the fibre and along time


def coverage(
    run: Any, *, title: str | None = None, ax: Any = None, backend: Backend = "matplotlib"
) -> Any:
    """Draw what of a recording has results, distance downwards and time to the right.

    Parameters
    ----------
    run : path or Status
        The output of a run, which may go on meanwhile; what :func:`dasdist.status` returned, which
        has fewer cells.
    title : str, optional
        Above the picture.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    backend : {"matplotlib", "holoviews"}
        For print, or for a notebook.

    Returns
    -------
    matplotlib Axes, or holoviews Overlay

    Raises
    ------
    InvalidInput
        If no run wrote there.

    Examples
    --------
    >>> coverage("picks.parquet").figure.savefig("coverage.png")  # doctest: +SKIP
    """
    check_backend(backend)
    found, name = _coverage(run)
    unit = "m" if name == "distance" else "1"
    fibre = FibreAxis.of(name, unit, found.last - found.first)
    start, stop = np.array([found.start, found.stop], dtype="datetime64[ns]")
    ends = (start, stop, found.first * fibre.factor, found.last * fibre.factor)
    states = states_of(found)
    if backend == "holoviews":
        return _with_holoviews(states, ends, fibre, title)
    ax = drawn_axes(ax, (11.0, 3.6))
    draw_classes(ax, states, ends, fibre, STATES)
    shown = set(np.unique(states.compressed()).tolist())
    own = [class_patch(*one) for number, one in enumerate(STATES.items()) if number in shown]
    if np.ma.getmaskarray(states).any():
        hatched = {"edgecolor": "#A0A0A0", "hatch": "////"}
        own.append(class_patch("nothing recorded", ax.patch.get_facecolor(), **hatched))
    name_classes(ax, own, title)
    return ax


def states_of(found: Coverage) -> "np.ma.MaskedArray[Any, Any]":
    """Return the state of each cell as its number in `STATES`, masked where nothing was recorded.

    A cell that has failed in any part has failed.
    """
    states: NDArray[np.int8] = np.zeros(found.done.shape, dtype=np.int8)
    states[found.done > 1e-9] = 1
    states[found.done > 1 - 1e-9] = 2
    states[found.failed > 1e-9] = 3
    return np.ma.masked_array(states, found.recorded <= 0)


def _coverage(run: Any) -> tuple[Coverage, str]:
    """Return the cells, and what positions along the fibre are called."""
    if isinstance(run, Status):
        try:
            return _coverage(run.path)
        except (OSError, ValueError):  # it is gone since
            return run.coverage, "distance"
    if isinstance(run, Coverage):
        return run, "distance"
    if not isinstance(run, str | os.PathLike):
        raise InvalidArgument(
            f"The run is a {type(run).__name__}; pass the path of its output, or its status."
        )
    folder = journal_folder(str(run))
    found = read(folder) if folder else None
    if folder is None or found is None:
        raise no_run(str(run))
    grids, history = grids_of(found.run), read_history(folder, found.run)
    done, failed = np.zeros((2, sum(map(len, grids))), dtype=bool)
    done[list(history.parts)] = True
    failed[list(history.failures)] = True
    return cover(grids, done, failed, _CELLS, history.partial), grids[0].out_distance.name


def _with_holoviews(states: Any, ends: Any, fibre: FibreAxis, title: str | None) -> Any:
    from dasdist.plot import notebooks
    from dasdist.plot.libraries import holoviews

    hv = holoviews()
    values = np.where(np.ma.getmaskarray(states), np.nan, states.data)
    image = notebooks.classes_image(hv, values, ends, fibre, STATES)
    return notebooks.overlaid(hv, [image], title)
