"""What the page says in words and numbers: HTML in which all text from outside is escaped."""

import time

from dasdist.dashboard.board import Board
from dasdist.dashboard.looks import GAP, INK, STAGES, STATES
from dasdist.safe_text import as_html, one_line
from dasdist.units import count_of, duration, readable_bytes

__all__ = ["EMPTY", "headline", "legend", "stages"]

EMPTY = f"""
<div id="das-empty" style="color: {INK}; font-size: 15px; max-width: 46em; padding: 2em">
<h2 style="font-weight: 600">No run yet</h2>
<p>When <code>annotate</code> or <code>classify</code> of dasdist runs on this cluster, this page
shows its archive as a map, time along x and distance along y: each block in the colour of what
happens to it, picks as they come, how fast it goes and how long it will take, why blocks failed,
and what every worker does.</p></div>
"""

_NAMES = {"skipped": "done earlier"}


def headline(board: Board) -> str:
    """Return what is run, how far and how fast."""
    progress, counts = board.progress, board.counts
    share = progress.get("share", 0.0)
    speed = progress.get("speed", 0.0)
    rate = speed / max(board.facts["data_seconds"], 1e-9) * board.facts["archive_bytes"]
    ended = counts["done"] + counts["failed"] + counts["skipped"]
    cards = [
        (f"{_floor(share):.1f}%", "worked through"),
        (f"{ended:,} of {sum(counts.values()):,}", "blocks"),
        (f"{speed:,.3g}" if speed < 1000 else f"{speed:,.0f}", "data-hours an hour"),
        (f"{readable_bytes(rate)}/s", f"of {readable_bytes(board.facts['archive_bytes'])}"),
        (_left(board), "left" if not board.over else "since it began"),
        (f"{counts['failed']:,}", "failed"),
    ]
    drawn = "".join(
        _card(number, what, alarm=what == "failed" and number != "0") for number, what in cards
    )
    return (
        f'<div id="das-head" style="color: {INK}">'
        f'<div style="font-size: 15px; padding: 4px 8px"><b>{as_html(board.facts["model"])}</b> '
        f"{_how(board)}</div>"
        f'<div style="display: flex; flex-wrap: wrap">{drawn}</div></div>'
    )


def _floor(share: float) -> float:
    """Return a share in percent, 100 only when all is done."""
    return int(1000 * share) / 10


def _left(board: Board) -> str:
    seconds = board.progress.get("seconds", 0.0)
    return duration(seconds if board.over else board.progress.get("seconds_left"))


def _how(board: Board) -> str:
    began = time.strftime("%Y-%m-%d %H:%M", time.gmtime(board.began))
    if board.over:
        why = f": {one_line(board.why)}" if board.why else ""
        return as_html(f"began {began} UTC, {board.over}{why}")
    if board.waits_for:
        return as_html(f"began {began} UTC, waits: {one_line(board.waits_for)}")
    return as_html(f"began {began} UTC")


def _card(number: str, what: str, *, alarm: bool) -> str:
    colour = STATES["failed"] if alarm else INK
    return (
        '<div style="padding: 2px 26px 6px 8px">'
        f'<div style="font-size: 24px; font-weight: 600; color: {colour}">{as_html(number)}</div>'
        f'<div style="font-size: 12px">{as_html(what)}</div></div>'
    )


def legend(board: Board) -> str:
    """Return the colours of the map, with how many blocks have each."""
    counts = board.counts
    items = [
        _item(colour, f"{_NAMES.get(state, state)} {counts[state]:,}")
        for state, colour in STATES.items()
    ]
    hatched = f"repeating-linear-gradient(45deg, {GAP} 0 1px, #f7f8f9 1px 4px)"
    rest = len(board.reasons) - counts["failed"]
    more = f" Of {count_of(-rest, 'more failure')} no reason is kept here." if rest < 0 else ""
    return _row([*items, _item(hatched, "gap, or too short")]) + as_html(more)


def stages() -> str:
    """Return the colours of the stages."""
    return _row([_item(colour, stage) for stage, colour in STAGES.items()])


def _item(background: str, text: str) -> str:
    box = (
        "display: inline-block; width: 12px; height: 12px; margin-right: 5px; "
        f"vertical-align: -1px; border: 1px solid #9aa5ad; background: {background}"
    )
    return (
        '<span style="white-space: nowrap; padding-right: 16px">'
        f'<span style="{box}"></span>{as_html(text)}</span>'
    )


def _row(items: list[str]) -> str:
    return f'<div style="color: {INK}; font-size: 13px; padding: 2px 8px">{"".join(items)}</div>'
