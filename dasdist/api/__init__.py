"""The functions and classes that users call."""

from dasdist.api.functions import annotate, classify, plan
from dasdist.api.load import from_pretrained
from dasdist.api.model import DASModel, DASWaveformModelWrapper
from dasdist.api.output import ClassifyOutput
from dasdist.journal.status import Status, status

__all__ = [
    "ClassifyOutput",
    "DASModel",
    "DASWaveformModelWrapper",
    "Status",
    "annotate",
    "classify",
    "from_pretrained",
    "plan",
    "status",
]
