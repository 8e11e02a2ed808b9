"""What the position of a pick is called: a distance in metres, or what the recording counts."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xdas

import dasdist
from dasdist.plot import waterfall

from .test_odd_axes import Echo, labelled, spike

OPTIONS = {"thresholds": 0.5, "blinding": (0, 0), "pbar": False}


def numbered(dim="channel", **attrs):
    """Channels 100, 102, 104, ...; the spike is on the eighth."""
    data = labelled(spike(), np.arange(100, 148, 2), **attrs)
    return data.rename(distance=dim)


@pytest.mark.parametrize(
    ("data", "name", "unit"),
    [
        (numbered("distance"), "distance", "m"),
        (numbered("offset"), "distance", "m"),
        (numbered("channel", units="m"), "distance", "m"),
        (numbered("channel"), "channel", "1"),
        (numbered("Locus"), "Locus", "1"),
        (numbered("sensor", units="1"), "sensor", "1"),
        (numbered("distance", units="1"), "channel", "1"),
        (numbered("phase", units="count"), "channel", "1"),
        (numbered("section", units="furlong"), "section", "furlong"),
        (xdas.DataArray.from_xarray(numbered("channel")), "channel", "1"),
    ],
)
def test_the_column_says_what_it_holds(data, name, unit, tmp_path):
    found = dasdist.classify(Echo(), data, **OPTIONS)
    assert list(found.picks)[:3] == ["time", name, "channel_index"]
    assert found.picks[name].tolist() == [114.0]
    assert found.picks.attrs["units"] == {name: unit}
    for pick in (found.P[0], next(iter(found.P)), found.P[:1][0]):
        assert (pick.channel, pick.coordinate, pick.unit) == (114.0, name, unit)

    stored = dasdist.classify(Echo(), data, out=tmp_path / "picks", **OPTIONS)
    pd.testing.assert_frame_equal(stored.picks, found.picks)
    assert stored.picks.attrs == found.picks.attrs
    (part,) = (tmp_path / "picks").glob("*.parquet")
    field = pq.read_schema(part).field(1)
    assert (field.name, field.metadata[b"unit"].decode()) == (name, unit)
    assert pd.read_parquet(tmp_path / "picks")[name].tolist() == [114.0]


def test_feet_are_a_distance_in_metres_in_picks_of_all_kinds(tmp_path):
    data = labelled(spike(), np.arange(24.0), units="ft")
    found = dasdist.classify(Echo(), data, out=tmp_path / "picks", **OPTIONS)
    assert found.picks["distance"].tolist() == pytest.approx([7 * 0.3048])
    assert found.picks.attrs["units"] == {"distance": "m"}


def as_of_before(part):
    """Rewrite a part as versions did that called every position a distance."""
    table = pq.read_table(part)
    fields = list(table.schema)
    unit = {b"unit": b"that of the recording's coordinate"}
    fields[1] = pa.field("distance", pa.float64(), metadata=unit)
    told = {key: said for key, said in table.schema.metadata.items() if b"position" not in key}
    schema = pa.schema(fields, metadata=told)
    pq.write_table(pa.Table.from_arrays(table.columns, schema=schema), part)


def test_a_dataset_that_was_begun_keeps_its_columns(tmp_path):
    data, out, block = numbered(), tmp_path / "picks", {"time": 800}
    dasdist.classify(Echo(), data, out=out, block=block, **OPTIONS)
    parts = sorted(out.glob("*.parquet"))
    assert len(parts) == 3
    for part in parts:
        as_of_before(part)
    parts[2].unlink()
    found = dasdist.classify(Echo(), data, out=out, block=block, **OPTIONS)
    assert {tuple(pq.read_schema(part).names) for part in parts} == {
        ("time", "distance", "channel_index", "phase", "confidence", "sample_index", "segment")
    }
    assert found.picks["distance"].tolist() == [114.0]
    assert pd.read_parquet(out)["distance"].tolist() == [114.0]


def test_numbered_channels_of_a_real_recording(das_file, phasenet):
    data = xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))
    picks = dasdist.classify(phasenet, data, thresholds=0.3, pbar=False, client=False).picks
    assert (picks["channel"] == picks["channel_index"]).all()
    assert "distance" not in picks


def test_numbered_picks_are_drawn_on_their_recording():
    pytest.importorskip("matplotlib").use("agg")
    data = numbered()
    axes = waterfall(data, dasdist.classify(Echo(), data, **OPTIONS).picks)
    (points,) = axes.collections
    assert points.get_offsets()[:, 1].tolist() == [114.0]
    assert axes.get_ylabel() == "channel"


def test_picks_in_metres_are_drawn_on_a_recording_in_feet():
    pytest.importorskip("matplotlib").use("agg")
    data = labelled(spike(), np.arange(24.0), units="ft")
    axes = waterfall(data, dasdist.classify(Echo(), data, **OPTIONS).picks)
    (points,) = axes.collections
    np.testing.assert_allclose(points.get_offsets()[:, 1], [7 * 0.3048])
    assert max(axes.get_ylim()) == pytest.approx(23.5 * 0.3048)
