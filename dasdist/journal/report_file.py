"""The report that a run leaves beside its output, for programs and for people."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.journal.changes import change_from
from dasdist.journal.coverage import Hole, holes
from dasdist.planning.plan import Plan
from dasdist.report import Failure, Missing, Partial, RunReport
from dasdist.safe_text import one_line, shown, without_secrets
from dasdist.units import readable_bytes, readable_time, results_of, times_real_time

__all__ = ["as_text", "change_lines", "summarise", "versions"]

_LISTED = 20  # rows of a list in the text; the JSON has all


def versions() -> dict[str, str]:
    """Return the versions of what computes the results."""
    names = ("dasdist", "torch", "dask", "distributed", "numpy", "xarray", "xdas", "zarr")
    found = {"python": platform.python_version()}
    for name in (*names, "seisbench"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def summarise(
    plan: Plan,
    report: RunReport,
    done: NDArray[np.bool_],
    *,
    state: str,
    reason: str,
    run: str,
    outputs: Sequence[str],
    counts: Any,
    fingerprint: Mapping[str, Any],
    files: Sequence[tuple[str, str, str]],
    started: str,
    ended: str,
) -> dict[str, Any]:
    """Return the report as plain JSON.

    Parameters
    ----------
    plan : Plan
        The blocks.
    report : RunReport
        What the run did.
    done : ndarray of bool
        For each block, whether it is done.
    state : {"complete", "failures", "interrupted", "stopped"}
        How it ended: all done, some blocks given up or done in part, told to stop, or by an error.
    reason : str
        Why, if it was stopped.
    run : str
        Names the run.
    outputs : sequence of str
        Paths of its results.
    counts : object
        What the results amount to, such as the number of picks.
    fingerprint : mapping
        What the run is.
    files : sequence of (path, kind, reason)
        Files that the index of the archive lists as left out, or changed.
    started, ended : str
        ISO times.
    """
    missing = holes(plan.grids, plan.skipped, report.failures, done, report.partial)
    computed = report.finished - report.before
    share = computed / report.blocks if report.blocks else 0.0
    summary = {
        "format": 1,
        "state": state,
        "reason": reason,
        "run": run,
        "outputs": list(outputs),
        "started": started,
        "ended": ended,
        "wall_seconds": report.wall_seconds,
        "blocks": {
            "total": report.blocks,
            "done": report.finished,
            "done_before": report.before,
            "failed": len(report.failures),
            "in_part": len(report.partial),
            "left": report.blocks - report.finished - len(report.failures),
        },
        "results": counts,
        "data": {
            "seconds": report.data_seconds,
            "bytes": plan.archive_bytes,
            "covered": _covered(plan, done, report.partial),
            "unreached": plan.unreached,
            "not_covered": [asdict(hole) for hole in missing],
            "files": [{"path": path, "kind": kind, "reason": why} for path, kind, why in files],
        },
        "change": None if report.change is None else asdict(report.change),
        "stages": _stages(report.seconds, share * report.data_seconds, share * plan.archive_bytes),
        "memory": {"peak": report.peak, "planned": report.planned},
        "facts": dict(report.facts),
        "notes": list(report.notes),
        "failures": [_failure(failure) for failure in report.failures],
        "missing": [asdict(missing) for missing in report.missing],
        "model": {"name": report.model, **fingerprint["model"]},
        "arguments": fingerprint["arguments"],
        "versions": versions(),
    }
    public: dict[str, Any] = without_secrets(summary)
    return public


def _covered(plan: Plan, done: NDArray[np.bool_], partial: Mapping[int, Partial]) -> float:
    """Return the share of the recorded samples that have results."""
    area = float(sum(short.time.size * short.distance.size for short in plan.skipped))
    covered = 0.0
    for grid in plan.grids:
        blocks = range(grid.first_block, grid.first_block + len(grid))
        mask = done[blocks.start : blocks.stop].reshape(grid.blocks)
        areas, recorded = grid.areas(), grid.time.size * grid.distance.size
        lost = sum(
            region.shape[0] * region.shape[1]
            for block, lacking in partial.items()
            if block in blocks
            for region in lacking.uncovered
        )
        covered += recorded * grid.reached * float((areas[mask].sum() - lost) / areas.sum())
        area += recorded
    return covered / area if area else 0.0


def _stages(
    seconds: Mapping[str, float], data_seconds: float, size: float
) -> dict[str, dict[str, float]]:
    return {
        stage: {
            "seconds": round(spent, 3),
            "data_seconds_per_second": round(data_seconds / spent, 1) if spent else 0.0,
            "bytes_per_second": round(size / spent) if spent else 0,
        }
        for stage, spent in seconds.items()
    }


def _failure(failure: Failure) -> dict[str, Any]:
    core = failure.core
    return {
        "block": failure.block,
        "segment": failure.segment,
        "start": failure.start,
        "stop": failure.stop,
        "channels": [core.distance.start, core.distance.stop],
        "kind": failure.kind,
        "error": failure.error,
        "traceback": failure.traceback,
    }


_STATES = {
    "complete": "complete",
    "failures": "finished, but some blocks failed, wholly or in part",
    "interrupted": "interrupted; the same command resumes it",
    "stopped": "stopped by an error",
}


def as_text(summary: Mapping[str, Any]) -> str:
    """Return a report as lines to read."""
    blocks, data, memory = summary["blocks"], summary["data"], summary["memory"]
    speed = _speed(summary)
    lines = [
        f"dasdist run {summary['run']}: {_STATES[summary['state']]}",
        *([f"  {summary['reason']}"] if summary["reason"] else []),
        f"model      {summary['model']['name']} ({summary['model']['weights'][:12]})",
        *(f"output     {path}" for path in summary["outputs"]),
        f"time       {summary['started']} to {summary['ended']} ({summary['wall_seconds']:.1f} s)",
        f"blocks     {blocks['done']:,} of {blocks['total']:,} done ({blocks['done_before']:,} "
        f"earlier), {blocks['failed']:,} failed, {blocks['left']:,} left"
        + f", {blocks['in_part']:,} done in part"
        * bool(blocks["in_part"]),
        f"data       {readable_bytes(data['bytes'])}, {data['seconds'] / 3600:,.2f} h, "
        f"{data['covered']:.2%} covered{speed}",
        f"results    {_results(summary['results'])}",
        f"memory     peak {readable_bytes(memory['peak'])} of a worker, "
        f"{readable_bytes(memory['planned'])} planned",
    ]
    lines += [
        f"stage      {name:<10} {stage['seconds']:>10.1f} s, "
        f"{readable_bytes(stage['bytes_per_second'])}/s"
        for name, stage in summary["stages"].items()
    ]
    lines += [f"{name:<10} {fact}" for name, fact in summary["facts"].items()]
    lines += _listed("notes", summary["notes"])
    lines += change_lines(summary.get("change"))
    if data["unreached"]:
        lines.append(f"ends       {data['unreached']}: no window of the model reaches it")
    holes_in_it = [Hole(**hole) for hole in data["not_covered"] if hole["reason"] != "end"]
    lines += _listed("not covered", [_hole_line(hole) for hole in holes_in_it])
    lines += _listed(
        "files that the index lists",
        [f"{file['path']} ({file['kind']}): {file['reason']}" for file in data["files"]],
    )
    lines += _listed("failed", [_failure_line(f) for f in summary["failures"]])
    lines += _listed("missing", [f"block {m['block']}: {Missing(**m)}" for m in summary["missing"]])
    lines.append("versions   " + ", ".join(f"{k} {v}" for k, v in summary["versions"].items()))
    return shown("\n".join(lines)) + "\n"


def change_lines(described: Mapping[str, Any] | None) -> list[str]:
    """Return what changed in the archive, and what is done again, as lines to read."""
    if not described:
        return []
    change = change_from(described)
    files = [f"{file.path} ({file.kind}), from {file.start}" for file in change.files]
    return [
        str(change),
        *_listed("files that changed", files),
        *_listed("done again", list(map(str, change.again))),
    ]


def _results(counts: Any) -> str:
    plain = isinstance(counts, Mapping) and all(isinstance(n, int) for n in counts.values())
    return results_of(counts) if plain else json.dumps(counts)


def _speed(summary: Mapping[str, Any]) -> str:
    blocks, wall = summary["blocks"], summary["wall_seconds"]
    computed = blocks["done"] - blocks["done_before"]
    if not (computed and wall and blocks["total"]):
        return ""
    seconds = summary["data"]["seconds"] * computed / blocks["total"]
    return f", {times_real_time(seconds / wall)}"


def _hole_line(hole: Hole) -> str:
    start, stop = readable_time(hole.start), readable_time(hole.stop)
    return f"{start} to {stop}, {hole.first:g} to {hole.last:g}: {hole.note}"


def _failure_line(failure: Mapping[str, Any]) -> str:
    return f"block {failure['block']} ({failure['kind']}): {failure['error']}"


def _listed(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    more = [f"  ... and {len(rows) - _LISTED} more in report.json"] if len(rows) > _LISTED else []
    return [f"{title} ({len(rows)}):", *(f"  {one_line(row)}" for row in rows[:_LISTED]), *more]
