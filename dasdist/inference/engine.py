"""Compile a network with OpenVINO, where that is installed.

OpenVINO (https://docs.openvino.ai) fuses layers into kernels of one memory layout, which suits the
few channels of picking networks: PhaseNet was 1.4 times as fast on a core as folded in torch.
"""

import sys
import threading
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

__all__ = ["CompiledNetwork", "compiler_found"]


def compiler_found() -> bool:
    """Tell whether OpenVINO is installed."""
    return find_spec("openvino") is not None


class CompiledNetwork:
    """A network for inputs of one shape, on the CPU, that several threads may call at once.

    Parameters
    ----------
    network : Module
        In evaluation mode; returns a tensor, or a tuple of them.
    example : Tensor
        An input of the shape of all inputs.
    callers : int
        Threads that call it at once; each call uses a core.

    Raises
    ------
    ImportError, RuntimeError
        If OpenVINO is missing, or torch or OpenVINO cannot read the network.
    """

    def __init__(self, network: torch.nn.Module, example: torch.Tensor, callers: int = 1) -> None:
        openvino = _openvino()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch and OpenVINO about each other
            exported = torch.export.export(network, (example.clone(),), strict=False)
            converted = openvino.convert_model(exported)
        options = {
            "NUM_STREAMS": callers,
            "INFERENCE_NUM_THREADS": callers,
            "INFERENCE_PRECISION_HINT": "f32",  # else it takes bf16 where the processor has it
            "ENABLE_CPU_PINNING": False,  # else all processes of a machine take its first cores
        }
        self._compiled = openvino.Core().compile_model(converted, "CPU", options)
        self._is_single = len(self._compiled.outputs) == 1
        self._requests = threading.local()

    def __call__(self, inputs: torch.Tensor) -> Any:
        """Return what the network does."""
        if not hasattr(self._requests, "mine"):
            self._requests.mine = self._compiled.create_infer_request()
        found = self._requests.mine.infer([inputs.contiguous().numpy()], share_inputs=True)
        outputs = tuple(torch.from_numpy(np.array(values)) for values in found.values())
        return outputs[0] if self._is_single else outputs


def _openvino() -> Any:
    """Import OpenVINO without what would report its use over the network."""
    missing = object()
    telemetry = sys.modules.get("openvino_telemetry", missing)
    if telemetry is missing:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if telemetry is missing:
            del sys.modules["openvino_telemetry"]
    return openvino
