"""Numbers as words: how long something takes, and how fast data goes by."""

__all__ = ["duration", "times_real_time"]


def duration(seconds: float | None) -> str:
    """Return a duration in words that are as short as one needs.

    Examples
    --------
    >>> duration(42.4), duration(3725.0), duration(200_000.0), duration(None)
    ('42 s', '1 h 02 min', '2 d 07 h', '?')
    """
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def times_real_time(speed: float) -> str:
    """Return a speed in the one unit that dasdist prints.

    Parameters
    ----------
    speed : float
        Seconds of data per second, which is also hours of data per hour.

    Examples
    --------
    >>> times_real_time(4512.0), times_real_time(3.14159), times_real_time(0.0)
    ('4,512x real time', '3.1x real time', '0x real time')
    """
    return f"{speed:,.0f}x real time" if speed >= 10 else f"{speed:.2g}x real time"
