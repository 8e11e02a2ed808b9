"""A cluster in a process of its own, which goes on when the command that started it has ended.

::

    dasdist cluster start ---> python -m dasdist.cluster.daemon   (a session of its own)
            |  settings, on its standard input --->  slurm_cluster(...)
            |  <--- one line on its standard output: ready, or what is wrong
            v
         ends                                    until its scheduler is closed, or SIGTERM
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasdist.cluster.certificates import remove_certificates
from dasdist.cluster.folder import connect, facts_of, write_facts
from dasdist.cluster.jobs import cancel_jobs
from dasdist.errors import DasdistError, InvalidInput

__all__ = ["start_cluster", "stop_cluster"]

_PATIENCE = 60.0
"""Seconds that a cluster may take to end."""


def start_cluster(settings: Mapping[str, Any], log: Path) -> dict[str, Any]:
    """Start a cluster that outlives this process.

    Parameters
    ----------
    settings : mapping
        Arguments of `dasdist.slurm_cluster`.
    log : Path
        File that the cluster's process writes its messages to.

    Returns
    -------
    dict
        What its scheduler file says.

    Raises
    ------
    InvalidInput
        If it cannot be started.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as stdin, process.stdout as stdout:
        stdin.write(json.dumps(dict(settings)) + "\n")
        stdin.flush()
        line = stdout.readline()
    process.returncode = 0  # nobody waits for it
    answer = (
        json.loads(line)
        if line
        else {"error": f"The cluster did not start; the reason is in {log}"}
    )
    if "error" in answer:
        raise InvalidInput(answer["error"])
    return facts_of(answer["folder"])


def stop_cluster(facts: Mapping[str, Any]) -> None:
    """Stop a cluster and cancel its jobs, from any machine that sees its folder.

    Parameters
    ----------
    facts : mapping
        What its scheduler file says.

    Raises
    ------
    OSError
        If the queue does not answer.
    """
    file = Path(facts["file"])
    if facts.get("stays") and _is_here(facts, file):  # else it is a notebook's, or a run's
        os.kill(facts["pid"], signal.SIGTERM)
        until = time.monotonic() + _PATIENCE
        while file.exists() and time.monotonic() < until:
            time.sleep(0.1)
    else:
        try:
            with connect(file, set_as_default=False) as client:
                client.shutdown()
        except DasdistError:  # its machine is down, perhaps
            file.unlink(missing_ok=True)
            remove_certificates(file.parent)
    if "name" in facts:
        cancel_jobs(facts["name"])


def _is_here(facts: Mapping[str, Any], file: Path) -> bool:
    """Tell whether the process that wrote a scheduler file runs on this machine."""
    import psutil

    if facts.get("host") != socket.gethostname() or not psutil.pid_exists(facts["pid"]):
        return False
    return bool(psutil.Process(facts["pid"]).create_time() <= file.stat().st_mtime)


def main() -> None:
    """Start the cluster that standard input describes, answer whether it runs, and keep it."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from dasdist.cluster.slurm import slurm_cluster

    try:
        cluster: Any = slurm_cluster(**json.loads(sys.stdin.readline()))
    except DasdistError as error:
        answer({"error": str(error)})
        return
    facts = facts_of(cluster.folder)
    ours = {name: fact for name, fact in facts.items() if name not in ("file", "address")}
    write_facts(cluster.folder, facts["address"], {**ours, "stays": True})
    with cluster:
        answer({"folder": str(cluster.folder)})
        while not over.wait(0.5) and cluster.scheduler.status.name == "running":
            pass


def answer(message: Mapping[str, Any]) -> None:
    """Answer the process that started this one, and close its output."""
    print(json.dumps(dict(message)), flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    main()
