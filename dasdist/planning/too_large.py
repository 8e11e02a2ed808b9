"""Say why blocks do not fit into the memory of workers, and what would do."""

from math import ceil

from dasdist.planning.plan import Plan
from dasdist.units import readable_bytes

__all__ = ["too_large"]


def too_large(plan: Plan, *, given: bool) -> str:
    """Return what is to be said of a plan that needs more memory than its workers may use.

    Parameters
    ----------
    plan : Plan
        With the blocks that were given, or else the smallest sensible ones.
    given : bool
        Whether they were given.

    Returns
    -------
    str
        What is needed, what there is, and what to do.
    """
    resources = plan.resources
    grid = max(plan.grids, key=plan.bytes_needed)
    block = f"{grid.core[0]:,} x {grid.core[1]:,} outputs"
    before = plan.process_bytes + plan.batch_bytes
    limit = readable_bytes(resources.memory or 0)
    usable = readable_bytes(resources.usable)
    if given and before < resources.usable:
        whose = "on this machine of" if resources.here else "on a worker of"
        return (
            f"A block of {block} needs {readable_bytes(plan.peak_bytes)} {whose} {limit} with "
            f"{resources.threads} task threads, of which {usable} may be used; choose smaller "
            "blocks (block=), fewer threads or larger workers."
        )
    which = "blocks" if given else "the smallest sensible blocks"
    each = f" on each of {resources.threads} task threads" if resources.threads > 1 else ""
    fact = (
        f"This needs {readable_bytes(plan.peak_bytes)} of memory: "
        f"{readable_bytes(plan.process_bytes)} for Python, its libraries and the model, "
        f"{readable_bytes(plan.batch_bytes)} for the model's batches, and "
        f"{readable_bytes((plan.peak_bytes - before) / resources.threads)}{each} for {which} of "
        f"{block}."
    )
    enough = ceil(plan.peak_bytes / resources.pause / 1e8) / 10
    if resources.here:
        return (
            f"{fact} This machine has {limit}, of which {usable} may be used. Use one with at "
            f"least {enough:.1f} GB, or close what else this process holds."
        )
    fewer = ", or with fewer task threads" if resources.threads > 1 else ""
    return (
        f"{fact} A worker has {limit}, and Dask pauses it at {usable}. Start workers with at "
        f"least {enough:.1f} GB each (--memory {enough:.1f}GB, or memory_limit=){fewer}."
    )
