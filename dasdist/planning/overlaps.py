"""How far neighbouring patches overlap: on recorded samples, and enough to leave no hole."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from dasdist.errors import DataWarning
from dasdist.geometry import PatchGrid, Ratio
from dasdist.models import patching_structure

__all__ = ["aligned", "warn_of_holes"]


def aligned(shift: int, up: int) -> int:
    """Return the largest shift up to the given one with which patches start on recorded samples.

    That is SeisBench's choice; where it comes to no shift at all, patches start ``up`` apart.
    """
    return shift if shift < 1 else max(up, shift - shift % up)


def warn_of_holes(
    grids: tuple[PatchGrid, PatchGrid],
    ratios: tuple[Ratio, Ratio],
    model: torch.nn.Module,
    name: str,
    arguments: Mapping[str, Any],
) -> None:
    """Warn of outputs between patches that none fills, with what fills them.

    Parameters
    ----------
    grids : tuple of PatchGrid
        Patches along time and along the fibre.
    ratios : tuple of Ratio
        Resampling along both.
    model : Module
        The model, which may not let its overlap be chosen.
    name : str
        What it is called.
    arguments : mapping
        Arguments of ``annotate``.

    Warns
    -----
    DataWarning
    """
    shape = (grids[0].size, grids[1].size)
    for axis, (grid, ratio) in enumerate(zip(grids, ratios, strict=True)):
        if not grid.hole():
            continue
        option = ("overlap_samples", "overlap_channels")[axis]
        enough = _enough(grid, ratio.up)
        if enough is None:
            advice = (
                f"resampling by {ratio.up}/{ratio.down} lets them start only {ratio.up} apart, "
                "so that no overlap helps; give data whose spacing is that of the model"
            )
        else:
            asked = patching_structure(model, shape, {**arguments, option: enough})
            heard = getattr(asked, option) == enough
            advice = f"pass {option}={enough}"
            if not heard:
                advice = f"{name} fixes its overlap; make it {option}={enough} in its structure"
        warnings.warn(
            f"Patches leave up to {grid.hole()} outputs between them empty: {advice}.",
            DataWarning,
            stacklevel=5,
        )


def _enough(grid: PatchGrid, up: int) -> int | None:
    """Return the least overlap with which patches leave no outputs empty; None if none does."""
    first = max(1, grid.window - (grid.covers[1] - grid.covers[0]))
    for overlap in range(first, grid.window):
        if not replace(grid, shift=aligned(grid.window - overlap, up)).hole():
            return overlap
    return None
