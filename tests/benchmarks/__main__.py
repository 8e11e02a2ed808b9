"""``python -m tests.benchmarks``: all benchmarks, or those named, as a table.

Run it alone on its machine.  ``--quick`` runs tiny sizes, to see that everything works.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

import torch

from tests.benchmarks.harness import BENCHMARKS, as_json, machine, run, table
from tests.benchmarks.suite import SUITE


def main(arguments: list[str] | None = None) -> int:
    """Run benchmarks and print their table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one turn")
    parser.add_argument("--turns", type=int, help="turns of each contest")
    parser.add_argument("--cores", type=int, default=2, help="cores to use (default: 2)")
    parser.add_argument("--gpu", action="store_true", help="only what runs on a GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all turns here, too")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    names = given.names or [n for n, b in BENCHMARKS.items() if b.gpu == given.gpu]
    if any(BENCHMARKS[name].gpu for name in names) and not torch.cuda.is_available():
        parser.error("these need a CUDA device")
    if not given.gpu:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
        torch.set_num_threads(given.cores)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    print(", ".join(f"{key} {value}" for key, value in machine().items()), flush=True)
    rows = []
    failed = False
    for name in names:
        try:
            found = run(name, quick=given.quick, turns=given.turns)
        except Exception as error:  # noqa: BLE001 - it is told, and the others are run
            print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
            failed = True
            continue
        print(table(found).partition("\n")[2] if rows else table(found), flush=True)
        rows += found
    if given.json:
        given.json.write_text(as_json(rows))
    return int(failed)


if __name__ == "__main__":
    assert SUITE
    sys.exit(main())
