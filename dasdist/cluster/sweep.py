"""Cancel the jobs of a cluster whose process was killed; a program of its own.

Started by that process as ``python -I sweep.py PARENT USER NAME FILE...``, in a session of its own
so that no signal of the terminal reaches it.  It imports nothing but the standard library, for it
lies idle as long as the run takes.  When the parent is gone it cancels all jobs of the name until
none is left, and removes the files: the certificates.
"""

import os
import signal
import subprocess
import sys
import time

LOOK = 0.5
"""Seconds between two looks at the parent."""

PAUSE = 3.0
"""Seconds between two rounds; a job that was on its way to the queue is there in the next."""

ROUNDS = 3
"""Rounds in a row without any job after which there is none."""

PATIENCE = 3600.0
"""Seconds after which it gives up if SLURM does not answer."""


def main(parent: int, user: str, name: str, files: list[str]) -> None:
    """Wait until the parent has ended, then cancel its jobs and remove its files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    while os.getppid() == parent:
        time.sleep(LOOK)
    for file in files:
        try:
            os.unlink(file)
        except OSError as error:
            print(error, flush=True)
    until = time.monotonic() + PATIENCE
    empty = 0
    while empty < ROUNDS and time.monotonic() < until:
        empty = empty + 1 if swept(user, name) else 0
        time.sleep(PAUSE)


def swept(user: str, name: str) -> bool:
    """Cancel all jobs with a name; return whether there were none."""
    of_run = [f"--user={user}", f"--name={name}"]
    try:
        found = subprocess.run(
            ["squeue", "--noheader", "--format=%A", *of_run],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        if not found.stdout.split():
            return True
        print("cancelling", *found.stdout.split(), flush=True)
        subprocess.run(["scancel", *of_run], timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(error, flush=True)
    return False


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
