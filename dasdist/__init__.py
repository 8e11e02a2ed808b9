"""Deep learning on Distributed Acoustic Sensing archives, spread over a Dask cluster.

The interface is SeisBench's: ``model.annotate(data, callback)`` and ``model.classify(data)``.

Names are loaded when they are first used: torch, xdas and Dask take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import filterwarnings

if TYPE_CHECKING:
    from dasdist import plot
    from dasdist.annotations import open_annotations
    from dasdist.api.functions import annotate, classify, plan
    from dasdist.api.listing import list_pretrained, list_versions
    from dasdist.api.load import from_pretrained
    from dasdist.api.model import DASModel, DASWaveformModelWrapper
    from dasdist.api.output import ClassifyOutput
    from dasdist.archive.index import ArchiveIndex, open_archive
    from dasdist.archive.make import index_archive
    from dasdist.block_events import BlockEvent
    from dasdist.callbacks.base import DASAnnotateCallback
    from dasdist.callbacks.in_memory import InMemoryCollectionCallback
    from dasdist.callbacks.multi import MultiCallback
    from dasdist.callbacks.needs import Needs
    from dasdist.callbacks.parquet import PicksWriterCallback
    from dasdist.callbacks.picking import DASPickingCallback
    from dasdist.callbacks.sink import SinkCallback
    from dasdist.callbacks.zarr_writer import WriterCallback
    from dasdist.channel_quality.quality import ChannelQuality, quality
    from dasdist.cluster.folder import connect
    from dasdist.cluster.slurm import slurm_cluster
    from dasdist.comparison.agreement import Comparison, compare
    from dasdist.comparison.truth import Score, score
    from dasdist.doctor.site import check_site
    from dasdist.errors import (
        BlockTooLarge,
        ClusterLost,
        DasdistError,
        DataWarning,
        InvalidArgument,
        InvalidInput,
        ModelFault,
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
    from dasdist.events.callback import EventsCallback
    from dasdist.geometry.blocks import Block, Region, Span
    from dasdist.geometry.patches import PatchCoordinate, PatchingStructure
    from dasdist.journal.status import Status, read_manifest, status
    from dasdist.journal.verification import Verification, verify
    from dasdist.sources.array import SourceArray
    from dasdist.sources.formats import open_files, register_format

    __version__: str

__all__ = [
    "ArchiveIndex",
    "Block",
    "BlockEvent",
    "BlockTooLarge",
    "ChannelQuality",
    "ClassifyOutput",
    "ClusterLost",
    "Comparison",
    "DASAnnotateCallback",
    "DASModel",
    "DASPickingCallback",
    "DASWaveformModelWrapper",
    "DasdistError",
    "DataWarning",
    "EventsCallback",
    "InMemoryCollectionCallback",
    "InvalidArgument",
    "InvalidInput",
    "ModelFault",
    "ModelMismatch",
    "MultiCallback",
    "Needs",
    "OutputExists",
    "OutputInUse",
    "OutputUnwritable",
    "PatchCoordinate",
    "PatchingStructure",
    "PicksWriterCallback",
    "Region",
    "RunInterrupted",
    "RunMismatch",
    "RunSuperseded",
    "Score",
    "SinkCallback",
    "SourceArray",
    "Span",
    "Status",
    "TooManyFailures",
    "UnreadableData",
    "Verification",
    "WriterCallback",
    "__version__",
    "annotate",
    "check_site",
    "classify",
    "compare",
    "connect",
    "from_pretrained",
    "index_archive",
    "list_pretrained",
    "list_versions",
    "open_annotations",
    "open_archive",
    "open_files",
    "plan",
    "plot",
    "quality",
    "read_manifest",
    "register_format",
    "score",
    "slurm_cluster",
    "status",
    "verify",
]

_HOMES = {
    "annotations": ("open_annotations",),
    "api.functions": ("annotate", "classify", "plan"),
    "api.listing": ("list_pretrained", "list_versions"),
    "api.load": ("from_pretrained",),
    "api.model": ("DASModel", "DASWaveformModelWrapper"),
    "api.output": ("ClassifyOutput",),
    "archive.index": ("ArchiveIndex", "open_archive"),
    "archive.make": ("index_archive",),
    "block_events": ("BlockEvent",),
    "callbacks.base": ("DASAnnotateCallback",),
    "callbacks.in_memory": ("InMemoryCollectionCallback",),
    "callbacks.multi": ("MultiCallback",),
    "callbacks.needs": ("Needs",),
    "callbacks.parquet": ("PicksWriterCallback",),
    "callbacks.picking": ("DASPickingCallback",),
    "callbacks.sink": ("SinkCallback",),
    "callbacks.zarr_writer": ("WriterCallback",),
    "channel_quality.quality": ("ChannelQuality", "quality"),
    "cluster.folder": ("connect",),
    "cluster.slurm": ("slurm_cluster",),
    "comparison.agreement": ("Comparison", "compare"),
    "comparison.truth": ("Score", "score"),
    "doctor.site": ("check_site",),
    "errors": (
        "BlockTooLarge",
        "ClusterLost",
        "DasdistError",
        "DataWarning",
        "InvalidArgument",
        "InvalidInput",
        "ModelFault",
        "ModelMismatch",
        "OutputExists",
        "OutputInUse",
        "OutputUnwritable",
        "RunInterrupted",
        "RunMismatch",
        "RunSuperseded",
        "TooManyFailures",
        "UnreadableData",
    ),
    "events.callback": ("EventsCallback",),
    "geometry.blocks": ("Block", "Region", "Span"),
    "geometry.patches": ("PatchCoordinate", "PatchingStructure"),
    "journal.status": ("Status", "read_manifest", "status"),
    "journal.verification": ("Verification", "verify"),
    "sources.array": ("SourceArray",),
    "sources.formats": ("open_files", "register_format"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # or a type checker would take any name for one of these

    def __getattr__(name: str) -> Any:
        """Load a name that was not used before; PEP 562."""
        if name == "__version__":
            from importlib.metadata import version

            found = version("dasdist")
        elif name in _HOME_OF:
            found = getattr(import_module(f"dasdist.{_HOME_OF[name]}"), name)
        else:
            found = _module(name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _module(name: str) -> Any:
    """Return a module of the package, as if it had been imported by its name."""
    full = f"dasdist.{name}"
    try:
        return import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
    raise AttributeError(f"module 'dasdist' has no attribute {name!r}", name=name)


# numpy 2.5 warns where xdas 0.2.10 compares times with a timedelta of no unit, and where it reads
# TDMS files: nobody but xdas can change that, and with warnings as errors no archive would open
for _said in ("The 'generic' unit for NumPy timedelta", "Setting the shape on a NumPy array"):
    filterwarnings("ignore", _said, DeprecationWarning, r"xdas\.")
