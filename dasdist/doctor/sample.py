"""A run of two blocks on every node, compared with the serial loop here."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distributed import Client

from dasdist.doctor.asking import Answers, collect, submit
from dasdist.doctor.finding import NotChecked, Outcome, check, ok
from dasdist.units import count_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_sample", "differences", "write_sample"]

BLOCK = {"time": 3_000}
"""Of a minute at 100 Hz: two blocks, of which the second begins in the second file."""

CLOSE = 1e-4
"""Largest difference of confidences: other CPUs and GPUs round otherwise, and some use TF32."""

THRESHOLD = 0.4


def write_sample(probe: Path) -> Path:
    """Write a minute of a synthetic archive, in two files."""
    from dasdist.synthetic.section import write_archive

    folder = probe / "archive"
    write_archive(folder, seed=7, minutes=1, channels=16, events=2, gap=None)
    return folder


def pick(folder: str, client: Client | None = None) -> "pd.DataFrame":
    """Pick the sample, in this process or on a cluster; a current client is not used."""
    import dasdist

    model: Any = dasdist.from_pretrained("demo")
    where: Client | Literal[False] = False if client is None else client
    picks: pd.DataFrame = dasdist.classify(
        model, _opened(folder), client=where, block=BLOCK, thresholds=THRESHOLD, pbar=False
    ).picks
    return picks


def _opened(folder: str) -> Any:
    import xdas

    return xdas.open_mfdataarray(f"{folder}/*.nc", engine="xdas", vtype="tiles")


@check("Two blocks on every node")
def check_sample(probe: Path, client: Client, nodes: Iterable[str]) -> Outcome:
    """Compare picks of two blocks from one worker of each node, and from all, with those here."""
    archive = write_sample(probe)
    expected = pick(str(archive))
    if expected.empty:
        raise NotChecked("The demo picker found no picks in the sample on this machine.")
    answers: Answers[pd.DataFrame] = collect(client, submit(client, nodes, pick, str(archive)))
    for worker, picks in answers.given.items():
        off = differences(picks, expected)
        if off:
            return Outcome(
                "wrong",
                f"Worker {worker} does not find the client's picks: {off}.",
                "Compare the versions of torch, and try torch's CPU build on that node.",
            )
    found = answers.missing()
    if found is not None:
        return found
    off = differences(pick(str(archive), client), expected)
    if off:
        return Outcome(
            "wrong", f"The cluster does not find the client's picks: {off}.", "Please report this."
        )
    return ok(
        f"On each node ({len(answers.given)}), and spread over the cluster, the same "
        f"{count_of(len(expected), 'pick')} as in this process."
    )


def differences(picks: "pd.DataFrame", expected: "pd.DataFrame") -> str:
    """Describe how picks differ; empty if they do not."""
    key = ["time", "channel_index", "phase"]
    both = expected.merge(picks, on=key, how="outer", suffixes=("", "_there"), indicator=True)
    counts = both["_merge"].value_counts()
    if counts["left_only"] or counts["right_only"]:
        return (
            f"{counts['left_only']} of {count_of(len(expected), 'pick')} are missing, "
            f"{counts['right_only']} "
            "are new"
        )
    off = float((both["confidence"] - both["confidence_there"]).abs().max())
    return f"confidences differ by up to {off:.1e} (allowed: {CLOSE:.0e})" if off > CLOSE else ""
