"""What an output holds instead of this run, in words: another recording, model or threshold."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["another_model", "another_output", "another_recording", "other_segments", "other_values"]

Json = Any


def another_model(held: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    """Say how a model differs from that of an earlier run; each is `describe_model` and a name.

    Examples
    --------
    >>> net = {"name": "Net", "class": "my.Net", "weights": "ab", "settings": "cd"}
    >>> list(another_model(net, net | {"weights": "ef"}))
    ['other weights of the model Net']
    """
    if (held["name"], held["class"]) != (now["name"], now["class"]):
        names = [held["name"], now["name"]]
        if names[0] == names[1]:
            names = [held["class"], now["class"]]
        yield f"another model: {names[0]} then, {names[1]} now"
    elif held["weights"] != now["weights"]:
        yield f"other weights of the model {now['name']}"
    elif held != now:
        yield f"other settings of the model {now['name']}"


def another_output(held: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    """Say how what callbacks write differs, from their settings.

    Examples
    --------
    >>> list(another_output({"stacking": "avg"}, {"thresholds": 0.3}))
    ['it holds probabilities, and this run writes picks']
    """
    outputs = [_by_kind(held), _by_kind(now)]
    if outputs[0].keys() != outputs[1].keys():
        kinds = [" and ".join(output) or "other results" for output in outputs]
        together = " in one pass"
        words = [kind + together * (len(o) > 1) for kind, o in zip(kinds, outputs, strict=True)]
        yield f"it holds {words[0]}, and this run writes {words[1]}"
        return
    for kind, settings in outputs[0].items():
        yield from other_values(settings, outputs[1][kind])


def _by_kind(settings: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """Return the settings of each thing that is written, by what it is."""
    each = list(settings.values())
    if each and all(isinstance(one, Mapping) and key.isdigit() for key, one in settings.items()):
        return {kind: own for one in each for kind, own in _by_kind(one).items()}
    kind = {"thresholds": "picks", "stacking": "probabilities"}
    return {next((kind[key] for key in settings if key in kind), "results"): settings}


def other_values(held: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    """Say which arguments have another value than then.

    Examples
    --------
    >>> list(other_values({"thresholds": 0.3}, {"thresholds": {"P": 0.5, "S": 0.2}}))
    ['other thresholds: 0.3 then, P=0.5, S=0.2 now']
    """
    for name in dict.fromkeys([*held, *now]):
        before, after = held.get(name), now.get(name)
        if before != after or (name in held) != (name in now):
            words = [
                _short(v) if name in all_ else "not given"
                for v, all_ in ((before, held), (after, now))
            ]
            yield f"other {name}: {words[0]} then, {words[1]} now"


def another_recording(held: Mapping[str, Json], now: Mapping[str, Json]) -> str:
    """Say how a recording differs.

    Examples
    --------
    >>> held = {"samples": 6000, "channels": 4, "dtype": "int16", "identity": "ab"}
    >>> another_recording(held, held | {"samples": 500})
    'another recording: 6,000 samples x 4 channels then, 500 x 4 now'
    >>> another_recording(held, held | {"identity": "cd"})
    'another recording: of the same size, but its times, distances or files are not those of then'
    """
    sizes = [(one["samples"], one["channels"]) for one in (held, now)]
    if sizes[0] != sizes[1]:
        (samples, channels), (samples_now, channels_now) = sizes
        return (
            f"another recording: {samples:,} samples x {channels:,} channels then, "
            f"{samples_now:,} x {channels_now:,} now"
        )
    if held["dtype"] != now["dtype"]:
        return f"another recording: samples of type {held['dtype']} then, {now['dtype']} now"
    return (
        "another recording: of the same size, but its times, distances or files are not those of "
        "then"
    )


def other_segments(held: list[Json], now: list[Json]) -> str:
    """Say how the segments of the same recording, as `describe_grid` has them, differ.

    Examples
    --------
    >>> other_segments([{"core": [600, 4]}], [{"core": [300, 4]}])
    'other blocks: of 600 samples x 4 channels then, of 300 x 4 now'
    """
    if len(held) != len(now):
        return f"other segments: {len(held):,} then, {len(now):,} now"
    for before, after in zip(held, now, strict=True):
        changed = {key for key in before if before[key] != after.get(key)} - {"first_block"}
        if changed == {"core"}:
            (a, b), (c, d) = before["core"], after["core"]
            return f"other blocks: of {a:,} samples x {b:,} channels then, of {c:,} x {d:,} now"
        if changed & {"time", "distance", "recorded"}:
            return "other segments: they begin or end elsewhere than then"
    return "other windows of the model than then"


def _short(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_short(one)}" for key, one in value.items())
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
