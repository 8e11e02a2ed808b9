"""Options of picking that come with a model, and in words where each of them comes from.

SeisBench's weights bring what their authors found right: ``P_threshold``, ``S_threshold`` and
``blinding`` in their ``default_args``.  Those are the defaults of ``classify``; what is passed to
it goes before them, and what neither says is the callback's own default::

    passed  >  default_args of the model  >  default of the callback
"""

import inspect
from collections.abc import Mapping
from typing import Any

from dasdist.errors import InvalidInput
from dasdist.models import ModelSpec, WaveformWrapper

__all__ = ["options_of_callback", "told_of_callback"]

_NAMED = ("thresholds", "min_time_separation", "blinding")
"""Options that a plan and a report name."""


def options_of_callback(
    model: Any, kind: type, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the options for a model's callback, and where they come from.

    Parameters
    ----------
    model : DASModel
        The model.
    kind : type
        The class of the callback.
    given : mapping
        What the user passed to ``classify``.

    Returns
    -------
    options : dict
        Arguments of the callback: those of `given` and of the model's ``default_args``.
    told : dict of str to str
        By option, its value and where it comes from.
    """
    parameters = inspect.signature(kind).parameters
    passed = {key: value for key, value in given.items() if key in parameters}
    options: dict[str, Any] = dict(passed)
    told: dict[str, str] = {}
    for name in _NAMED:
        if name not in parameters:
            continue
        default = parameters[name].default
        if name in passed:
            told[name] = f"{_text(passed[name])} (passed)"
            continue
        own, text = _of_model(name, model, default)
        if text or name != "min_time_separation":
            told[name] = text or f"{_text(default)} (default)"
        if own is not None:
            options[name] = own
    return options, told


def told_of_callback(callback: Any) -> dict[str, str]:
    """Return what to say of the options of a callback that the user made."""
    settings = getattr(callback, "settings", None)
    known = settings if isinstance(settings, Mapping) else {}
    named = ("thresholds", "blinding")
    return {name: f"{_text(known[name])} (of the callback)" for name in named if name in known}


def _of_model(name: str, model: Any, default: Any) -> tuple[Any, str]:
    """Return an option that comes with a model, and what to say of it; None if none does."""
    found: Mapping[str, Any] = model.default_args
    if name == "blinding" and name in found and isinstance(model, WaveformWrapper):
        return _blinding(found[name], default)
    if name in found:
        return found[name], f"{_text(found[name])} ({_ORIGIN})"
    if name != "thresholds":
        return None, ""
    own = {
        phase: found[f"{phase}_threshold"]
        for phase in ModelSpec.of(model).phases
        if f"{phase}_threshold" in found
    }
    if not own:
        return None, ""
    others = {phase: default for phase in ModelSpec.of(model).phases if phase not in own}
    text = f"{_text(own)} ({_ORIGIN})"
    return {**own, **others}, text + (f", {_text(others)} (default)" if others else "")


_ORIGIN = "default_args of the model"


def _blinding(own: Any, default: tuple[int, int]) -> tuple[Any, str]:
    """Return what the callback is to leave out besides what a waveform model does by itself.

    The model gives no outputs where it is blind; picking needs the callback's default at least,
    because patches are picked one by one, without the neighbours that would outvote their ends.
    """
    try:
        before, after = (int(samples) for samples in own)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"blinding in the default_args of the model is {own!r}; give two whole numbers."
        ) from error
    rest = max(0, default[0] - before), max(0, default[1] - after)
    text = _text((max(before, default[0]), max(after, default[1])))
    if rest == (0, 0):
        return rest, f"{text} ({_ORIGIN})"
    return rest, f"{text} (default; {_ORIGIN} ask for {before}, {after})"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number}" for key, number in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)
