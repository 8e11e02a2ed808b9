"""Run all checks in order: this machine, its queue, a cluster, and the folder they share."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distributed import Client

from dasdist.cluster.job_size import configured
from dasdist.doctor import folder as shared
from dasdist.doctor import gpus, here, locks, queue, replacing, sample, workers
from dasdist.doctor.asking import Answers, ask
from dasdist.doctor.finding import Finding, Outcome, SiteReport, check
from dasdist.doctor.surroundings import Surroundings, look
from dasdist.executors.clients import synchronous
from dasdist.executors.resources import resources_of_cluster

__all__ = ["check_site", "findings_here", "findings_of_cluster"]


def check_site(
    client: Client | None = None,
    *,
    folder: str | Path = ".",
    slurm: Mapping[str, Any] | None = None,
    wait: float = 300.0,
) -> SiteReport:
    """Check a site: this machine, its queue, a cluster, and the folder that they share.

    Everything that is written or started is removed again.

    Parameters
    ----------
    client : distributed.Client, optional
        The cluster to check; without one, only this machine is checked.
    folder : str or Path
        Where outputs will be written; workers must see it at the same path.
    slurm : mapping, optional
        Arguments of `slurm_cluster` to check; no job is started.
    wait : float
        Seconds to wait for the cluster's workers.

    Returns
    -------
    SiteReport
        Its ``findings``, each ok, a warning, wrong, or not checked, with the fact and the remedy;
        those that are ``wrong``; printed, it shows all of them.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = check_site(folder=folder)
    >>> report.wrong
    ()
    """
    found = list(findings_here(slurm))
    with synchronous(client) as waiting:
        found += findings_of_cluster(waiting, folder, wait)
    return SiteReport(tuple(found))


def findings_here(slurm: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """Check this machine, and whether its queue has what jobs will ask for.

    Parameters
    ----------
    slurm : mapping, optional
        Arguments of `slurm_cluster`; without them, the queue's defaults are checked if there is
        a queue.
    """
    asked = _configured(slurm or {})
    yield here.check_packages()
    yield here.check_open_files(int(asked.get("jobs") or 0) * max(1, asked["gpus_per_job"]))
    commands = queue.check_commands(needed=slurm is not None)
    yield commands
    if commands.state != "ok":
        return
    partition = queue.check_partition(asked)
    yield partition
    if slurm is None:
        return
    yield here.check_address(asked)
    if partition.state == "wrong":
        yield _left_out("Other checks of the queue", "They need a partition that takes jobs.")
        return
    yield queue.check_walltime(asked)
    yield queue.check_gres(asked)
    yield queue.check_size(asked)
    yield queue.check_submission(asked)


def _configured(slurm: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what the site's Dask configuration says of jobs."""
    names = {"partition": "queue", "account": "account", "interface": "interface"}
    known = {name: configured(key) for name, key in names.items()}
    given = {name: value for name, value in slurm.items() if value is not None}
    return {"gpus_per_job": 0, **known, **given}


def findings_of_cluster(
    client: Client | None, folder: str | Path, wait: float, hint: str = ""
) -> Iterator[Finding]:
    """Check a cluster, and the folder that it shares with this machine.

    Parameters
    ----------
    client : Client or None
        A synchronous client; without one, only the folder is checked.
    folder : str or Path
        The folder.
    wait : float
        Seconds to wait for workers.
    hint : str
        Remedy to name if they do not come.
    """
    try:
        yield from _findings_of_cluster(client, folder, wait, hint)
    except Exception as error:  # noqa: BLE001 - such as a scheduler that died; it is a finding too
        yield _broken_off(error)


def _findings_of_cluster(
    client: Client | None, folder: str | Path, wait: float, hint: str
) -> Iterator[Finding]:
    around: Answers[Surroundings] = Answers({})
    if client is not None:
        yield workers.check_present(
            client, max(1, resources_of_cluster(client).workers), wait, hint
        )
        yield workers.check_versions(client)
        around = ask(client, look)
        yield workers.check_answers(around)
        if not around.given:
            yield _left_out("Other checks of the cluster", "No worker answered.")
            return
        yield from _of_workers(client, around.given)
    yield from _of_folder(client, folder, around.given)


def _of_workers(client: Client, around: Mapping[str, Surroundings]) -> Iterator[Finding]:
    yield workers.check_nannies(client)
    yield workers.check_memory(client, around)
    yield workers.check_threads(client, around)
    yield gpus.check_gpus(around)
    yield gpus.check_pinning(around)
    yield workers.check_clocks(client)
    yield workers.check_listening(client)


def _of_folder(
    client: Client | None, folder: str | Path, around: Mapping[str, Surroundings]
) -> Iterator[Finding]:
    """Check a folder; what cannot be made in it, or removed, is a finding too."""
    try:
        with shared.probe_folder(folder) as probe:
            visible = shared.check_visible(probe, client)
            yield visible
            if visible.state == "wrong":
                yield _left_out(
                    "Other checks of the folder", "Client and workers do not see the same folder."
                )
                return
            yield replacing.check_renames(probe, client)
            hosts = {address: seen.host for address, seen in around.items()}
            yield locks.check_locks(probe, client, hosts, socket.gethostname())
            yield shared.check_space(probe, client)
            if client is not None:
                yield sample.check_sample(probe, client, workers.nodes_of(around).values())
    except OSError as error:
        yield _unusable(folder, error)


def _left_out(name: str, reason: str) -> Finding:
    return Finding(name, "not checked", reason)


@check("Other checks of the cluster")
def _broken_off(error: Exception) -> Outcome:
    raise error


@check("Folder")
def _unusable(folder: str | Path, error: OSError) -> Outcome:
    return shared.not_there(folder, error)
