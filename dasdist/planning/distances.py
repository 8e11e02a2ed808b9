"""Refuse positions of channels from which a model that needs distances cannot tell them."""

from dasdist.errors import InvalidInput
from dasdist.geometry import Span
from dasdist.sources import Recording
from dasdist.sources.lengths import METRE, NUMBER

__all__ = ["check_distances"]


def check_distances(recording: Recording, model: str) -> None:
    """Check that channels have positions in metres, and neighbours different ones.

    Parameters
    ----------
    recording : Recording
        The data.
    model : str
        Name of a model that needs distances: it admits some spacings only, or filters in f-k.

    Raises
    ------
    InvalidInput
        If positions have an unknown unit or only count channels, or channels share one.
    """
    name, unit = recording.channel_name, recording.channel_unit
    if unit != METRE:
        holds = "counts channels" if unit == NUMBER else f"is in {unit!r}, no known unit of length"
        raise InvalidInput(
            f"The {name!r} coordinate {holds}, and {model} needs distances in metres. With "
            f"xarray, give it some: `data.assign_coords({name}=('{name}', spacing * "
            "np.arange(n), {'units': 'm'}))`; with xdas, call it 'distance', in metres."
        )
    for member in recording.members:
        alike = [run for run in member.distances if run.axis.step == 0 and run.span.size > 1]
        if alike:
            first = alike[0]
            raise InvalidInput(
                f"Channels {first.span.start} to {first.span.stop - 1} share the {name!r} "
                f"{first.axis.value(0)}, and {model} needs to know how far apart channels are. "
                + _advice(name, [run.span for run in member.distances if run not in alike])
            )


def _advice(name: str, others: list[Span]) -> str:
    """Say how to pass only channels with positions of their own, given where those are."""
    kept: list[Span] = []
    for span in others:
        if kept and kept[-1].stop == span.start:
            kept[-1] = Span(kept[-1].start, span.stop)
        else:
            kept.append(span)
    parts = [f"data.isel({name}=slice({span.start}, {span.stop}))" for span in kept]
    if not parts:
        return "Give each a position of its own."
    passed = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    return f"Give each a position of its own, or leave such channels out: pass `{passed}`."
