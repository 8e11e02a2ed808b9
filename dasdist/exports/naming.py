"""What channels are called where others have stations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput

__all__ = ["CHANNEL", "Naming"]

CHANNEL = "HSF"
"""High rate, strain, along the fibre: a code for channels as FDSN source identifiers build them."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of stations: a letter, lest a program reads a number, and the number of the channel.

    Parameters
    ----------
    network : str
        Code of the network, of 1 to 8 letters and digits; XX stands for none.

    Examples
    --------
    >>> Naming().station(17), Naming("LP").ids([17, 12345]).tolist()
    ('C0017', ['LP.C0017.', 'LP.C12345.'])
    """

    network: str = "XX"

    def __post_init__(self) -> None:
        if not (self.network.isascii() and self.network.isalnum() and len(self.network) <= 8):
            raise InvalidInput(
                f"{self.network!r} is not the code of a network: give 1 to 8 letters and digits."
            )

    def station(self, channel: int) -> str:
        """Return the code of a channel."""
        return f"C{channel:04d}"

    def ids(self, channels: Any) -> NDArray[Any]:
        """Return network, station and an empty location, as SeisBench's `trace_id`."""
        return self._each(channels, f"{self.network}.{{}}.")

    def stations(self, channels: Any) -> NDArray[Any]:
        """Return the codes of channels."""
        return self._each(channels, "{}")

    def full(self, channels: Any) -> NDArray[Any]:
        """Return network, station, location and channel."""
        return self._each(channels, f"{self.network}.{{}}..{CHANNEL}")

    def _each(self, channels: Any, form: str) -> NDArray[Any]:
        unique, inverse = np.unique(np.asarray(channels, dtype=np.int64), return_inverse=True)
        names = [form.format(self.station(channel)) for channel in unique.tolist()]
        return np.array(names, dtype=object)[inverse]
