"""A model of SeisBench that costs nothing."""

from typing import Any

import torch
from seisbench.models.das_base import DASModel, DASPickingCallback, PatchingStructure

__all__ = ["Light"]


class Light(DASModel):
    """An average and a sigmoid, of samples that count `unit` each."""

    unit = 1.0

    def __init__(self, channels: int) -> None:
        structure = PatchingStructure(
            3000, channels, 3000, channels, (0, 3000), (0, channels), 1500, 0
        )
        super().__init__(patching_structure=structure, annotate_keys=["P"])
        self.gain = torch.nn.Parameter(torch.tensor(8.0))

    def forward(self, x: torch.Tensor, argdict: Any = None) -> dict[str, torch.Tensor]:
        traces = x.transpose(1, 2)
        mean = torch.nn.functional.avg_pool1d(traces, 5, 1, 2, count_include_pad=False)
        return {"P": torch.sigmoid(self.gain * (self.unit * mean - 0.5)).transpose(1, 2)}

    @property
    def classify_callback(self) -> Any:
        return DASPickingCallback
