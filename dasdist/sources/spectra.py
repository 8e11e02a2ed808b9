"""Tell power spectra that libraries return as if they were recordings.

Febus interrogators store spectra beside recordings, and in the same layout: where a recording has
samples, a spectrum has frequencies.  Only the name of the dataset says which it is, such as
``PSD [dB re 1 nStrain|sqrt(Hz)]``, of which xdas makes ``p_s_d [d_b re 1 n_strain|sqrt(_hz)]``.
"""

import re
from collections.abc import Iterator
from typing import Any

from dasdist.errors import InvalidInput

__all__ = ["refuse_spectra_of_febus", "refuse_spectrum"]

_SPECTRUM = re.compile(
    r"\b(psd|fft|spectrum|spectra|spectrogram)\b|spectral ?densit|\bdb re\b", re.IGNORECASE
)


def refuse_spectrum(name: str | None) -> None:
    """Refuse data whose name says that it is a spectrum.

    Raises
    ------
    InvalidInput
        If it does.
    """
    if name is None or not _SPECTRUM.search(name.replace("_", "")):
        return
    raise InvalidInput(
        f"The data is called {name!r}: it is a power spectrum, with frequencies where a recording "
        "has samples, whatever its times say. Pass the recording that was made beside it, such as "
        "StrainRate; if this is one, give it another name (data.name) in Python."
    )


def refuse_spectra_of_febus(path: str) -> None:
    """Refuse a Febus file that holds a spectrum; DASCore does not tell the name of the dataset.

    Raises
    ------
    InvalidInput
        If it does.
    """
    import h5py  # others do without

    with h5py.File(path, "r") as file:
        for name in _datasets(file):
            refuse_spectrum(name)


def _datasets(group: Any) -> Iterator[str]:
    for name, entry in group.items():
        if hasattr(entry, "items"):
            yield from _datasets(entry)
        elif entry.ndim == 3:
            yield name
