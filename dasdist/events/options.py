"""What the detector is told: lengths, times and slownesses, with their units and limits."""

from dataclasses import asdict, dataclass
from typing import Any

from dasdist.errors import InvalidInput

__all__ = ["EventOptions"]


@dataclass(frozen=True, slots=True)
class EventOptions:
    """Parameters of the detector of events.

    Parameters
    ----------
    vp_vs : float
        Ratio of the speeds of P and S waves, above 1.  An origin time is off by a tenth of the time
        from P to S where the ratio is 1.68 and 1.73 is stated.
    vp_vs_spread : float
        How far the ratio of an event departs from the stated one (a standard deviation): the less,
        the less its picks have a say in it (`dasdist.events.growing`).
    min_channels : int, optional
        Least number of channels of an event.  By default a tenth of the fibre's, at least 10 and at
        most 100.
    max_slowness : float
        Greatest apparent slowness along the fibre in s/m, either way.  1/300 holds surface waves;
        vehicles, at 10 to 35 m/s, lie far outside.
    tolerance : float
        Seconds between a pick and the curve that it lies on, at most.  Where picks scatter less,
        the curve takes those within four standard deviations.
    aperture : float
        Metres to either side of a pick, within which others must line up with it.
    min_neighbours : int
        How many others, of the same phase.
    max_s_minus_p : float
        Longest time from P to S on a channel, seconds.
    duration : float
        Longest time from the first P pick of an event to its last S pick, seconds.
    spacing : float
        Metres from channel to channel; only used where positions of picks are numbers of channels.

    Raises
    ------
    InvalidInput
        If one of them is out of range.

    Examples
    --------
    >>> EventOptions(vp_vs=1.78).max_slowness
    0.0033333333333333335
    """

    vp_vs: float = 1.73
    vp_vs_spread: float = 0.04
    min_channels: int | None = None
    max_slowness: float = 1 / 300
    tolerance: float = 0.5
    aperture: float = 300.0
    min_neighbours: int = 5
    max_s_minus_p: float = 20.0
    duration: float = 60.0
    spacing: float = 10.0

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in asdict(self).items() if value is not None}
        for name, value in numbers.items():
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InvalidInput(f"{name} is {value!r}; use a number above 0.")
        if self.vp_vs <= 1:
            raise InvalidInput(
                f"vp_vs is {self.vp_vs}; P waves are faster than S waves: use more than 1, such as "
                "1.73."
            )
        if self.max_s_minus_p > self.duration:
            raise InvalidInput(
                f"max_s_minus_p ({self.max_s_minus_p} s) is longer than duration "
                f"({self.duration} s), the longest time from the first P to the last S: raise the "
                "latter."
            )

    def least_channels(self, fibre: int) -> int:
        """Return how many channels an event needs on a fibre that has so many.

        Examples
        --------
        >>> [EventOptions().least_channels(channels) for channels in (67, 400, 10_000)]
        [10, 40, 100]
        """
        if self.min_channels is not None:
            return self.min_channels
        return min(100, max(10, round(fibre / 10)))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters by name."""
        return asdict(self)
