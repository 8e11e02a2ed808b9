"""The callback that classify uses: a model's own, made of what the caller and the model say."""

import inspect
from collections.abc import Mapping
from typing import Any

from dasdist.api.defaults import options_of_callback
from dasdist.callbacks import DASPickingCallback, PicksWriterCallback, check_thresholds
from dasdist.errors import InvalidInput
from dasdist.models import ModelSpec, WaveformWrapper

__all__ = ["arguments_of", "callback_of", "default_callback"]


def callback_of(model: Any, kind: type, given: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
    """Make a model's callback; return it, and where its options come from.

    Thresholds that the model has no use for are refused before any data is looked at.
    """
    options, told = options_of_callback(model, kind, given)
    callback = kind(**options)
    if isinstance(callback, DASPickingCallback | PicksWriterCallback):
        spec = ModelSpec.of(model)
        check_thresholds(callback.settings["thresholds"], spec.annotate_keys, spec.phases)
    return callback, told


def arguments_of(kind: type) -> frozenset[str]:
    """Return the names of the arguments that a callback takes."""
    return frozenset(inspect.signature(kind).parameters)


def default_callback(model: Any) -> type:
    """Return the class of a model's default callback; SeisBench's picking becomes ours."""
    if isinstance(model, WaveformWrapper):
        return DASPickingCallback
    try:
        named: type = model.classify_callback
    except NotImplementedError as error:
        raise InvalidInput(
            f"{type(model).__name__} has no classify_callback: override that property, or call "
            "annotate with a callback."
        ) from error
    if named.__module__.startswith("seisbench.") and named.__name__ == "DASPickingCallback":
        return DASPickingCallback
    return named
