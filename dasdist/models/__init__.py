"""DAS models: the base class, SeisBench's models, and a description of any of them."""

from dasdist.models.base import BaseDASModel
from dasdist.models.fold import FoldedNetwork
from dasdist.models.spec import ModelSpec, as_das_model, check_arguments, patching_structure
from dasdist.models.waveform import WaveformWrapper

__all__ = [
    "BaseDASModel",
    "FoldedNetwork",
    "ModelSpec",
    "WaveformWrapper",
    "as_das_model",
    "check_arguments",
    "patching_structure",
]
