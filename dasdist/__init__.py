"""Deep learning on Distributed Acoustic Sensing archives, spread over a Dask cluster.

The interface is SeisBench's: ``model.annotate(data, callback)`` and ``model.classify(data)``.
"""

from importlib.metadata import version
from warnings import filterwarnings

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
from dasdist.callbacks import (
    DASAnnotateCallback,
    DASPickingCallback,
    InMemoryCollectionCallback,
    MultiCallback,
    PicksWriterCallback,
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

__version__ = version("dasdist")

__all__ = [
    "ArchiveIndex",
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
    "OutputExists",
    "OutputInUse",
    "OutputUnwritable",
    "PatchCoordinate",
    "PatchingStructure",
    "PicksWriterCallback",
    "RunInterrupted",
    "RunMismatch",
    "RunSuperseded",
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
    "plan",
    "slurm_cluster",
    "status",
]

# numpy 2.5 warns where xdas 0.2.10 compares times with a timedelta of no unit, and where it reads
# TDMS files: nobody but xdas can change that, and with warnings as errors no archive would open
for _said in ("The 'generic' unit for NumPy timedelta", "Setting the shape on a NumPy array"):
    filterwarnings("ignore", _said, DeprecationWarning, r"xdas\.")
