"""List the files of an index as a table."""

import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.archive.build import columns_of
from dasdist.archive.header import coordinate_of
from dasdist.archive.headers import Headers

__all__ = ["file_table"]


def file_table(headers: Headers, places: NDArray[np.int64]) -> pd.DataFrame:
    """Return a row for each file.

    Parameters
    ----------
    headers : Headers
        The files.
    places : ndarray of int64, shape (files,)
        Array of the index that holds each; -1 for those left out.

    Returns
    -------
    pandas.DataFrame
        Columns path, bytes, modified (datetime64[ns]), start and stop (of the first and last
        sample), samples, sampling_interval (seconds), dtype, channels, channel_spacing (in metres
        where the unit is known; NaN where it varies), engine and array.
    """
    columns = columns_of(headers)
    forms = pd.DataFrame(
        [_described(form) for form in headers.forms],
        columns=["dtype", "channels", "channel_spacing", "engine"],
    )
    own = pd.DataFrame(
        {
            "path": list(headers.paths()),
            "bytes": headers.column("bytes"),
            "modified": headers.column("modified").astype("datetime64[ns]"),
            "start": columns.first.astype("datetime64[ns]"),
            "stop": columns.last.astype("datetime64[ns]"),
            "samples": headers.column("samples"),
            "sampling_interval": columns.step / 1e9,
        }
    )
    shared = forms.iloc[headers.column("form")].reset_index(drop=True)
    return pd.concat([own, shared], axis=1).assign(array=places)


def _described(text: str) -> tuple[str, int, float, str]:
    form = json.loads(text)
    (dim,) = (dim for dim in form["dims"] if dim != form["time"]["name"])
    steps = np.diff(coordinate_of(form["coords"][dim]).values.astype(np.float64))
    even = steps.size > 0 and np.allclose(steps, steps[0], rtol=1e-6)
    (channels,) = (size for size in form["sizes"] if size is not None)
    spacing = float(steps.mean()) if even else np.nan
    return form["dtype"], channels, spacing, form["engine"]["name"]
