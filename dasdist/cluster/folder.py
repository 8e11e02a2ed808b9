"""A cluster's folder: what a client needs to connect, and the logs.

::

    scheduler.json      the scheduler's address, and facts of the cluster
    certificate.pem     only who has this and the key can connect
    key.pem
    lock                held by the cluster's process as long as it runs
    logs/               what the workers wrote
    cluster.log         what the cluster wrote, if `dasdist cluster start` started it
    sweep.log           what was cancelled, if the cluster's process was killed

Any client that sees the folder can connect by it.  When the cluster ends, what one needs to connect
is removed; the logs stay for 14 days (`dasdist.cluster.old_folders`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.cluster.certificates import check_ours, private_folder, security_of
from dasdist.cluster.jobs import user_name
from dasdist.cluster.old_folders import LOCK, remove_old_folders
from dasdist.errors import InvalidInput
from dasdist.safe_text import logger
from dasdist.storage.files import write_atomically
from dasdist.storage.lock import holder_of

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["SCHEDULER_FILE", "connect", "facts_of", "new_folder", "running", "write_facts"]

_log = logger()

SCHEDULER_FILE = "scheduler.json"

_PATIENCE = "30s"


def home() -> Path:
    """Return the folder of all clusters.

    It is a folder of this user in the one that the Dask configuration names for such things, as
    ``jobqueue.slurm.shared-temp-directory``; else in the user's home, which nodes mostly share.
    """
    import dask.config

    shared = dask.config.get("jobqueue.slurm.shared-temp-directory", None)
    if not shared:
        return Path.home() / ".dasdist"
    return Path(os.path.expandvars(shared)).expanduser() / f"dasdist-{user_name()}"


def new_folder(name: str, folder: str | Path | None = None) -> Path:
    """Make the folder of a cluster.

    Parameters
    ----------
    name : str
        The cluster's name.
    folder : str or Path, optional
        The folder to use.  By default one with the cluster's name in the folder of all clusters,
        where those of clusters that ended more than 14 days ago are removed first.

    Raises
    ------
    InvalidInput
        If a cluster runs there, or others can read it.
    """
    if folder is None:
        base = home()
        if base.parent != Path.home():  # a shared place, where anyone could make it first
            private_folder(base)
        remove_old_folders(base)
    path = private_folder(folder if folder is not None else home() / name)
    held = holder_of(path / LOCK)
    if held is not None or (path / SCHEDULER_FILE).exists():
        raise InvalidInput(
            f"{path} is the folder of another cluster. Stop that one with `dasdist cluster stop "
            f"{path}`, or name another folder with folder= (--cluster-folder)."
        )
    return path


def write_facts(folder: Path, address: str, facts: Mapping[str, Any]) -> Path:
    """Write the scheduler file; Dask's own tools read its address."""
    path = folder / SCHEDULER_FILE
    read = {"address": address, "dasdist": dict(facts)}
    write_atomically(path, json.dumps(read, indent=2) + "\n")
    return path


def facts_of(where: str | Path) -> dict[str, Any]:
    """Read a scheduler file: the ``address``, and the facts that dasdist wrote into it.

    Raises
    ------
    InvalidInput
        If there is no such file, it is not a scheduler file, or others could have written it.
    """
    path = Path(where)
    path = path / SCHEDULER_FILE if path.is_dir() else path
    check_ours(path)
    try:
        read = json.loads(path.read_text())
        return {"file": str(path.absolute()), "address": read["address"], **read.get("dasdist", {})}
    except FileNotFoundError as error:
        raise InvalidInput(
            f"There is no scheduler file {path}: the cluster is not up yet, or has ended. `dasdist "
            "cluster status` shows the clusters that run."
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{path} is not a scheduler file ({error}). Pass one that `dasdist cluster start` or "
            "`dask scheduler --scheduler-file` wrote."
        ) from error


def running() -> list[dict[str, Any]]:
    """Return the facts of all clusters whose scheduler files lie in the folder of all clusters.

    One that is not this user's alone is left out, with a warning.
    """
    found = []
    for path in sorted(home().glob(f"*/{SCHEDULER_FILE}")):
        try:
            found.append(facts_of(path))
        except InvalidInput as error:
            _log.warning("%s", error)
    return found


def connect(where: str | Path, **options: Any) -> "Client":
    """Connect to a running cluster.

    Parameters
    ----------
    where : str or Path
        The cluster's folder, its scheduler file, or the address of its scheduler.  Certificates
        that lie beside a scheduler file are used.
    **options
        Of :class:`distributed.Client`.

    Returns
    -------
    distributed.Client

    Raises
    ------
    InvalidInput
        If there is no such file, others could have written it, or no scheduler answers.

    Examples
    --------
    >>> from distributed import LocalCluster
    >>> options = {"processes": False, "protocol": "tcp://", "host": "127.0.0.1"}
    >>> with LocalCluster(n_workers=1, dashboard_address=None, **options) as cluster:
    ...     with connect(cluster.scheduler_address, set_as_default=False) as client:
    ...         print(client.status)
    running
    """
    from distributed import Client

    options = {"timeout": _PATIENCE, **options}
    name = str(where)
    if "://" not in name and (Path(name).exists() or name.endswith(".json") or "/" in name):
        found = facts_of(name)
        address = found["address"]
        security = security_of(Path(found["file"]).parent)
        if security is not None:
            options = {"security": security, **options}
    else:
        address = name
    try:
        return Client(address, **options)
    except (OSError, TimeoutError, ValueError) as error:
        raise InvalidInput(
            f"No scheduler answers at {where} ({error}). Pass the address that `dask scheduler` "
            "prints, such as tcp://10.0.0.1:8786, or its scheduler file."
        ) from error
