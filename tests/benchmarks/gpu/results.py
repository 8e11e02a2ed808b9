"""Whether what a GPU computes is right: against the CPU, in double precision, by the tests."""

import copy
import os
import subprocess
import sys
from typing import Any

import numpy as np
import torch

import dasdist
from tests.benchmarks.gpu.sections import Report

__all__ = ["PICKERS", "parity", "tests"]

PICKERS = ("phasenet_original", "eqtransformer_conservative")


def parity(report: Report) -> None:
    """Largest differences, and how pickers compute."""
    report.row("LSTM in float32 off float64", lambda: _lstm(report.device))
    for name in PICKERS:
        report.row(f"{name} folded", lambda n=name: _folded(n, report.device))
        for variant in ({}, {"optimize": False}, {"precision": "tf32"}):
            words = ", ".join(f"{k} {v}" for k, v in variant.items())
            report.row(
                f"{name} off the CPU {words}",
                lambda n=name, v=variant: _off_the_cpu(n, report.device, v),
            )


def _lstm(device: str) -> float:
    """Some 1e-7 in all bits of float32, 1e-4 and more in TF32."""
    lstm = torch.nn.LSTM(16, 16, bidirectional=True).eval()
    x = torch.randn(47, 64, 16)
    with torch.no_grad(), dasdist.signal.full_precision(torch.device(device)):
        found = copy.deepcopy(lstm).to(device)(x.to(device))[0].cpu()
        return float((found - lstm.double()(x.double())[0]).abs().max())


def _folded(name: str, device: str) -> str:
    from tests.figures import trained

    model: Any = dasdist.DASWaveformModelWrapper(trained(name)).to(device).eval()
    with torch.no_grad():
        folded = model.folded(model.model.in_samples, {})
    return f"{folded.components} components, {'' if folded.alone else 'not '}prepared alone"


def _off_the_cpu(name: str, device: str, options: dict[str, Any]) -> float:
    from tests.benchmarks import inputs
    from tests.figures import trained
    from tests.toys import recording

    data = recording(inputs.events(12_000, 4))
    model = dasdist.DASWaveformModelWrapper(trained(name)).eval()
    exact = dasdist.annotate(model, data, optimize=False).compute()
    found = dasdist.annotate(model.to(device), data, **options).compute()
    return max(float(np.nanmax(np.abs(found[key].values - exact[key].values))) for key in exact)


def tests(report: Report) -> None:
    """Run the tests that need a GPU; without one, those that play it."""
    marked = ["-m", "gpu"] if report.on_gpu else ["-k", "played"]
    files = [] if report.on_gpu else ["tests/test_on_a_gpu.py", "-m", "not slow"]
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={os.getcwd()}"]
    command += ["-p", "no:cacheprovider", "-W", "ignore", "-q", "--tb=short", *marked, *files]
    if report.on_gpu:
        command.append("tests")
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=max(60, report.left), check=False
    )
    (report.out / "pytest.log").write_text(done.stdout + done.stderr)
    print(done.stdout[-2500:], flush=True)
    if done.returncode:
        report.failed.append("tests")
