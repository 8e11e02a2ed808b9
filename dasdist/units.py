"""Numbers as words: how many, how long something takes, and how fast data goes by."""

from collections.abc import Mapping

__all__ = [
    "all_done",
    "count_of",
    "duration",
    "readable_bytes",
    "readable_time",
    "results_of",
    "times_real_time",
]


def count_of(number: int, one: str, many: str = "") -> str:
    """Return how many there are of something, in the singular for one.

    Parameters
    ----------
    number : int
        How many.
    one, many : str
        What it is, of one and of any other number; by default the plural has an s more.

    Examples
    --------
    >>> count_of(1, "block"), count_of(12_000, "block"), count_of(0, "block is", "blocks are")
    ('1 block', '12,000 blocks', '0 blocks are')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def results_of(counts: Mapping[str, int]) -> str:
    """Return what results amount to.

    Examples
    --------
    >>> results_of({"picks": 1, "P": 0, "S": 1, "bytes": 1600})
    '1 pick, 0 P, 1 S, 1,600 bytes'
    """
    plural = (name.islower() and name.endswith("s") for name in counts)
    return ", ".join(
        count_of(number, name.removesuffix("s") if many else name, name)
        for (name, number), many in zip(counts.items(), plural, strict=True)
    )


def all_done(blocks: int) -> str:
    """Say that blocks were done before.

    Examples
    --------
    >>> all_done(1), all_done(12)
    ('the only block was done earlier', 'all 12 blocks were done earlier')
    """
    return (
        "the only block was done earlier"
        if blocks == 1
        else f"all {blocks:,} blocks were done earlier"
    )


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


def readable_time(time: object) -> str:
    """Return a time to the millisecond, with no more digits than it needs.

    Examples
    --------
    >>> readable_time("2024-01-01T00:00:04.250000000"), readable_time("2024-01-01T00:00:00.000")
    ('2024-01-01T00:00:04.25', '2024-01-01T00:00:00')
    """
    whole, point, digits = str(time).partition(".")
    return (whole + point + digits[:3]).rstrip("0").rstrip(".") if point else whole


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


def readable_bytes(size: float) -> str:
    """Return a number of bytes with a decimal unit.

    Examples
    --------
    >>> readable_bytes(1_250_000)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.1f} PB"
