"""Coverage as a small picture for a notebook; the colours are those of `dasdist.plot.coverage`."""

from dasdist.journal.coverage import Coverage
from dasdist.safe_text import as_html

__all__ = ["coverage_svg"]

_DONE, _PART, _FAILED, _LEFT = "#0072B2", "#56B4E9", "#D55E00", "#FFFFFF"
_CELL = (8, 6)  # pixels


def coverage_svg(coverage: Coverage) -> str:
    """Return coverage as SVG: distance downwards, time to the right, blank where no data is.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((1, 2))
    >>> found = Coverage(one, one, 0 * one, "2025-06-01T00:00", "2025-06-01T01:00", 0.0, 9.0)
    >>> coverage_svg(found).count("<rect")
    2
    """
    rows, columns = coverage.done.shape
    width, height = _CELL
    size = f'width="{width}" height="{height}"'
    cells = "".join(
        f'<rect x="{j * width}" y="{i * height}" {size} fill="{colour}"/>'
        for i in range(rows)
        for j in range(columns)
        if (colour := _colour(coverage, (i, j)))
    )
    size = f'width="{columns * width}" height="{rows * height}"'
    span = f"{as_html(coverage.start[:19])} to {as_html(coverage.stop[:19])} UTC"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="background:#ECECEC">{cells}</svg>'
        f"<br><small>{span}, {coverage.first:,.0f} to {coverage.last:,.0f} along the fibre: "
        "dark blue is done, light blue in part, orange failed or missing, white not computed, "
        "grey not recorded</small>"
    )


def _colour(coverage: Coverage, at: tuple[int, int]) -> str:
    if coverage.recorded[at] <= 0:
        return ""
    if coverage.failed[at] > 1e-9:
        return _FAILED
    done = coverage.done[at]
    return _DONE if done > 1 - 1e-9 else _PART if done > 1e-9 else _LEFT
