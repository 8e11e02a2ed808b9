"""One call on a GPU: ceilings, correctness, SeisBench's rates and ours, stages, a profile, tests.

It runs in a bare checkout.  Sections are in order of worth, and none begins when the seconds are
spent; what fails is printed, and the next row or section runs.
"""

import argparse
import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

SECTIONS = {
    "ceilings": "ceilings:ceilings",
    "parity": "results:parity",
    "quiet": "speed:ratio_quiet",
    "events": "speed:ratio_events",
    "network": "speed:network",
    "large": "speed:large",
    "raw": "speed:large_raw",
    "stages": "speed:stages",
    "profile": "speed:profile",
    "tests": "results:tests",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the sections that are named, all by default; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--seconds", type=float, default=430.0, help="default: 430")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")))
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    warnings.simplefilter("ignore")
    import torch

    from tests.benchmarks.gpu.sections import Report

    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu plays it through")
    name = torch.cuda.get_device_name() if given.device == "cuda" else "no GPU"
    words = f"torch {torch.__version__}", f"{os.cpu_count()} cores", name
    print(f"Python {sys.version.split()[0]}", *words, sep=", ", flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    report = Report(given.device, given.quick, given.out, given.seconds)
    for section in given.names or SECTIONS:
        report.section(section, lambda found, s=section: _function(s)(found))
    if report.failed:
        print(f"failed: {', '.join(report.failed)}")
    return int(bool(report.failed))


def _function(section: str) -> Any:
    """Return what runs a section; imported only now, so that one that cannot be stays alone."""
    module, name = SECTIONS[section].split(":")
    return getattr(import_module(f"tests.benchmarks.gpu.{module}"), name)


if __name__ == "__main__":
    sys.exit(main())
