"""The picker of the demo: a DAS model of the smallest kind, made for one component."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dasdist import DASModel
from dasdist.callbacks import DASPickingCallback
from dasdist.demo.network import CLASSES, WINDOW, PickNetwork
from dasdist.geometry import PatchingStructure
from dasdist.models.fold import FoldedNetwork, fold_batch_norms

RATE = 100.0  # Hz, of the training data's middle
LARGEST_PATCH = 1024  # channels
USED = 1600  # samples of a window with output: an onset is told by what follows it


class DemoPicker(DASModel):
    """Probabilities of P and S on every channel by itself.

    Trained on synthetic sections only (`dasdist.training.picker`); meant for trying dasdist,
    not for making catalogues. The last 4.5 seconds of a window, and so of a segment,
    give no output: without what follows, a P looks like a weak S.

    Parameters
    ----------
    width : int
        Features of the network's first level.
    **kwargs
        Arguments of `dasdist.DASModel`.

    Examples
    --------
    >>> import torch
    >>> picker = DemoPicker().eval()
    >>> {phase: tuple(p.shape) for phase, p in picker(torch.randn(1, 2048, 3)).items()}
    {'P': (1, 1600, 3), 'S': (1, 1600, 3)}
    """

    channelwise: ClassVar[bool] = True

    def __init__(self, width: int = 24, **kwargs: Any) -> None:
        defaults: dict[str, Any] = {
            "dt_range": (0.5 / RATE, 2.0 / RATE),
            "annotate_keys": ["P", "S"],
        }
        super().__init__(**(defaults | kwargs))
        self._width = width
        self.network = PickNetwork(width)

    def get_patching_structure(
        self, data_shape: tuple[int, int], argdict: Mapping[str, Any]
    ) -> PatchingStructure:
        """Return patches of 2048 samples, 1600 with output, and of up to 1024 channels."""
        channels = min(LARGEST_PATCH, data_shape[1])
        return PatchingStructure(
            in_samples=WINDOW,
            in_channels=channels,
            out_samples=USED,
            out_channels=channels,
            range_samples=(0, USED),
            range_channels=(0, channels),
            overlap_samples=self._overlap(None, "overlap_samples", WINDOW, argdict),
            overlap_channels=0,
        )

    def forward(
        self,
        x: Tensor,
        argdict: Mapping[str, Any] | None = None,
        folded: FoldedNetwork | None = None,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """Annotate ``x``, (batch, 2048, channels) in any unit, from its first sample on."""
        batch, samples, channels = x.shape
        traces = x.transpose(1, 2).reshape(batch * channels, samples)
        found = self.network(traces) if folded is None else folded.network(traces[:, None])
        scores = found.reshape(batch, channels, len(CLASSES), samples)[..., :USED]
        return {key: scores[:, :, CLASSES.index(key)].transpose(1, 2) for key in ("P", "S")}

    def folded(self, samples: int, argdict: Mapping[str, Any]) -> FoldedNetwork:
        """Return the network with batch normalisation folded, for windows of one component."""
        network = nn.Sequential(nn.Flatten(), self.network)
        example = torch.zeros(1, 1, samples, device=self.device, dtype=self.dtype)
        return FoldedNetwork(fold_batch_norms(network, example), components=1, alone=True)

    @property
    def classify_callback(self) -> type[DASPickingCallback]:
        """What ``classify`` makes of the probabilities: picks."""
        return DASPickingCallback
