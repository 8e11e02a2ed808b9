"""Deep learning on Distributed Acoustic Sensing archives, spread over a Dask cluster.

The interface is SeisBench's: ``model.annotate(data, callback)`` and ``model.classify(data)``.
"""

from importlib.metadata import version

from dasdist.annotations import open_annotations
from dasdist.api import (
    ClassifyOutput,
    DASModel,
    DASWaveformModelWrapper,
    Status,
    annotate,
    classify,
    from_pretrained,
    plan,
    status,
)
from dasdist.archive import ArchiveIndex, index_archive, open_archive
from dasdist.block_events import BlockEvent
from dasdist.callbacks import (
    DASAnnotateCallback,
    DASPickingCallback,
    InMemoryCollectionCallback,
    MultiCallback,
    Needs,
    PicksWriterCallback,
    SinkCallback,
    WriterCallback,
)
from dasdist.cluster import connect, slurm_cluster
from dasdist.doctor import check_site
from dasdist.errors import (
    BlockTooLarge,
    ClusterLost,
    DasdistError,
    DataWarning,
    InvalidInput,
    ModelMismatch,
    OutputExists,
    OutputInUse,
    OutputUnwritable,
    RunInterrupted,
    RunMismatch,
    RunSuperseded,
    TooManyFailures,
    UnreadableData,
)
from dasdist.geometry import PatchCoordinate, PatchingStructure
from dasdist.sources import SourceArray, open_files, register_format

__version__ = version("dasdist")

__all__ = [
    "ArchiveIndex",
    "BlockEvent",
    "BlockTooLarge",
    "ClassifyOutput",
    "ClusterLost",
    "DASAnnotateCallback",
    "DASModel",
    "DASPickingCallback",
    "DASWaveformModelWrapper",
    "DasdistError",
    "DataWarning",
    "InMemoryCollectionCallback",
    "InvalidInput",
    "ModelMismatch",
    "MultiCallback",
    "Needs",
    "OutputExists",
    "OutputInUse",
    "OutputUnwritable",
    "PatchCoordinate",
    "PatchingStructure",
    "PicksWriterCallback",
    "RunInterrupted",
    "RunMismatch",
    "RunSuperseded",
    "SinkCallback",
    "SourceArray",
    "Status",
    "TooManyFailures",
    "UnreadableData",
    "WriterCallback",
    "__version__",
    "annotate",
    "check_site",
    "classify",
    "connect",
    "from_pretrained",
    "index_archive",
    "open_annotations",
    "open_archive",
    "open_files",
    "plan",
    "register_format",
    "slurm_cluster",
    "status",
]
