"""Draw the level of every channel, hour by hour, and what is wrong with it."""

from pathlib import Path

import numpy as np

from dasdist.channel_quality.judge import FLAGS
from dasdist.channel_quality.quality import ChannelQuality
from dasdist.plot.libraries import new_figure

__all__ = ["draw_quality"]

_COLOURS = ("#8a8a8a", "#d1495b", "#edae49", "#6a4c93", "#00798c")


def draw_quality(found: ChannelQuality, path: str | Path) -> None:
    """Draw levels by hour and channel, with flags as dots.

    Parameters
    ----------
    found : ChannelQuality
        What `dasdist.quality` returned.
    path : path
        A picture, of the kind that its ending says: .png, .pdf, .svg.

    Raises
    ------
    InvalidInput
        If matplotlib is not installed.
    """
    levels = found.table.pivot(index="hour", columns="channel", values="level")
    figure = new_figure(12, 7)
    ax = figure.subplots()
    values = levels.to_numpy(float)
    shown = np.log10(np.where(values > 0, values, np.nan))
    rows = np.arange(len(levels))
    mesh = ax.pcolormesh(levels.columns, rows, shown, shading="nearest", cmap="Greys")
    figure.colorbar(mesh, ax=ax, label="log10 of the level, in the unit of the samples")
    row_of = {hour: row for row, hour in enumerate(levels.index)}
    for flag, colour in zip(FLAGS, _COLOURS, strict=True):
        wrong = found.table[found.table["flags"].str.contains(flag)]
        if len(wrong):
            at = [row_of[hour] for hour in wrong["hour"]]
            ax.scatter(wrong["channel"], at, s=12, color=colour, label=flag, zorder=2)
    ticks = np.unique(np.linspace(0, len(rows) - 1, min(12, len(rows))).astype(int))
    ax.set_yticks(ticks, [f"{levels.index[tick]:%Y-%m-%d %H:%M}" for tick in ticks])
    ax.set_xlabel("channel")
    ax.invert_yaxis()
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right")
    figure.savefig(path, dpi=110)
