"""Options of the command line, as what the Python functions take."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import typer

__all__ = ["parse_block", "parse_engine_options", "parse_settings", "parse_thresholds"]


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` words; values are JSON, or else text.

    Examples
    --------
    >>> parse_settings(["overlap_samples=0.5", "blinding=[0, 0]", "stacking=max"])
    {'overlap_samples': 0.5, 'blinding': (0, 0), 'stacking': 'max'}
    """
    return dict(_pairs(words, "key=value", "--set", _value))


def parse_engine_options(words: Sequence[str] | None) -> dict[str, Any]:
    """Read ``name=value`` words; values are JSON, numbers with commas between them, or else text.

    Examples
    --------
    >>> parse_engine_options(["overlaps=25,25", "offset=7", "tz=CET", "swapped_dims=true"])
    {'overlaps': (25, 25), 'offset': 7, 'tz': 'CET', 'swapped_dims': True}
    """
    return dict(_pairs(words or (), "name=value", "--engine-option", _engine_value))


def _pairs(
    words: Sequence[str], form: str, option: str, read: Callable[[str], Any]
) -> Iterator[tuple[str, Any]]:
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{word!r} is not {form}.", param_hint=option)
        value = read(text)
        yield name, tuple(value) if isinstance(value, list) else value


def _value(text: str) -> Any:
    with suppress(json.JSONDecodeError):
        return json.loads(text)
    return text


def _engine_value(text: str) -> Any:
    if "," in text and "[" not in text:
        several = _value(f"[{text}]")
        return several if isinstance(several, list) else text
    return {"True": True, "False": False}.get(text, _value(text))


def parse_thresholds(words: Sequence[str]) -> Mapping[str, Any]:
    """Read one number for all phases, or ``phase=number`` words.

    Examples
    --------
    >>> parse_thresholds(["0.3"]), parse_thresholds(["P=0.3", "S=0.2"]), parse_thresholds([])
    ({'thresholds': 0.3}, {'thresholds': {'P': 0.3, 'S': 0.2}}, {})
    """
    if not words:
        return {}
    if len(words) == 1 and "=" not in words[0]:
        return {"thresholds": _confidence(words[0])}
    thresholds: dict[str, float] = {}
    for word in words:
        phase, equals, number = word.partition("=")
        if not (phase and equals):
            raise _no_threshold(f"{' '.join(words)!r} mixes one for all phases with others")
        if phase in thresholds:
            raise _no_threshold(f"{' '.join(words)!r} has two for {phase}")
        thresholds[phase] = _confidence(number)
    return {"thresholds": thresholds}


def _confidence(number: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise _no_threshold(f"{number!r} is not a number") from error
    if not 0 <= value <= 1:
        raise _no_threshold(f"{number!r} is not between 0 and 1")
    return value


def _no_threshold(fact: str) -> typer.BadParameter:
    return typer.BadParameter(
        f"{fact}. Write one number for all phases, --threshold 0.3, or one for each, "
        "--threshold P=0.3 --threshold S=0.2.",
        param_hint="--threshold",
    )


def parse_block(word: str | None) -> dict[str, int] | None:
    """Read the core of a block.

    Examples
    --------
    >>> parse_block("time=60000,distance=500")
    {'time': 60000, 'distance': 500}
    """
    if word is None:
        return None
    pairs = [part.partition("=") for part in word.split(",")]
    if not all(key in ("time", "distance") and text.isdigit() for key, _, text in pairs):
        raise typer.BadParameter(
            f"{word!r} is not time=SAMPLES,distance=CHANNELS, or one of the two.",
            param_hint="--block",
        )
    return {key: int(text) for key, _, text in pairs}
