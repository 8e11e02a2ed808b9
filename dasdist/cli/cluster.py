"""``dasdist cluster start``, ``stop`` and ``status``: a cluster that stays, for notebooks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import Commands, app, examples
from dasdist.cli.compute import dashboard
from dasdist.cli.groups import Queue, grouped
from dasdist.cli.voice import speaking
from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["start", "status", "stop"]

cluster = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Start, stop or look at a cluster that stays."
)
app.add_typer(cluster, name="cluster")

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="The cluster's folder or scheduler file; not needed if there is only one cluster.",
    ),
]


@cluster.command(
    epilog=examples(
        "dasdist cluster start --cluster slurm --jobs 4 --gpus-per-job 1 --partition gpu "
        "--walltime 08:00:00",
    )
)
@grouped
def start(
    *,
    queue: Queue,
    memory: Annotated[
        str | None, typer.Option(help="Memory of each job, such as 64GB. Default: 4 GiB per core.")
    ] = None,
    idle_timeout: Annotated[
        str, typer.Option(help="Stop the cluster after this time without work, such as 30m or 2h.")
    ] = "2h",
    as_json: opt.Json = False,
) -> None:
    """Start a cluster of SLURM jobs that stays until it is stopped, or idle for some time.

    For notebooks and for several runs, one after the other: a single run starts and ends its own
    jobs, with classify --cluster slurm. --cluster slurm is needed here, too; what is not given is
    chosen from the partition's nodes.
    """
    with speaking("cluster start", as_json=as_json) as voice:
        from dasdist.cluster.daemon import start_cluster
        from dasdist.cluster.folder import new_folder
        from dasdist.cluster.slurm import new_name

        if queue.cluster is None:
            raise InvalidInput("It needs a queue for its jobs; add --cluster slurm.")
        name = new_name()
        folder = new_folder(name, queue.cluster_folder)
        settings = {
            **queue.arguments(memory),
            "name": name,
            "folder": str(folder),
            "idle_timeout": idle_timeout,
        }
        facts = start_cluster(settings, folder / "cluster.log")
        voice.fact(**named(facts))
        voice.say(
            f"Jobs named {facts['name']}, with their logs in {facts['logs']}\n"
            f"Connect: dasdist.connect({facts['file']!r}), or --scheduler {facts['file']}\n"
            f"{dashboard(facts['tunnel'])}\n"
            f"It ends after {idle_timeout} without work, or by: dasdist cluster stop {folder}"
        )


@cluster.command(epilog=examples("dasdist cluster stop", "dasdist cluster stop FOLDER"))
def stop(folder: Folder = None, as_json: opt.Json = False) -> None:
    """Stop a cluster and its jobs."""
    with speaking("cluster stop", as_json=as_json) as voice:
        from dasdist.cluster.daemon import stop_cluster

        facts = chosen(folder)
        try:
            stop_cluster(facts)
        except OSError as error:
            raise InvalidInput(f"The jobs could not be cancelled: {error}") from error
        voice.fact(**named(facts))
        voice.say(f"Stopped {facts.get('name', facts['address'])}.")


@cluster.command(epilog=examples("dasdist cluster status", "dasdist cluster status FOLDER"))
def status(folder: Folder = None, as_json: opt.Json = False) -> None:
    """Show what a cluster has and how to connect to it."""
    with speaking("cluster status", as_json=as_json) as voice:
        import dasdist

        facts = chosen(folder)
        with dasdist.connect(facts["file"], set_as_default=False) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
            threads = sum(worker["nthreads"] for worker in workers)
        voice.fact(**named(facts), workers=len(workers), threads=threads)
        voice.say(
            f"{facts.get('name', 'Cluster')} at {facts['address']}: "
            f"{count_of(len(workers), 'worker')} with "
            f"{count_of(threads, 'task thread')}\nConnect: dasdist.connect({facts['file']!r}), or "
            f"--scheduler {facts['file']}\n{dashboard(facts.get('tunnel'))}"
        )


def chosen(folder: Path | None) -> dict[str, Any]:
    """Return what is known of a cluster: the one that is named, or the only one."""
    from dasdist.cluster.folder import facts_of, running

    if folder is not None:
        return facts_of(folder)
    found = running()
    if len(found) != 1:
        there = "".join(f"\n  {facts['file']}" for facts in found)
        raise InvalidInput(
            f"{count_of(len(found), 'cluster runs', 'clusters run')} here; give the folder of the "
            f"one you mean.{there}"
        )
    return found[0]


def named(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as programs are told them."""
    return {"jobs" if key == "name" else key: value for key, value in facts.items()}
