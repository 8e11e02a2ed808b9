"""Collecting in memory, several callbacks at once, and callbacks written for SeisBench."""

import asyncio
import json
import pickle
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import product

import numpy as np
import pandas as pd
import pytest
import xdas
from hypothesis import given

from dasdist.callbacks import (
    ClientSideCallback,
    DASAnnotateCallback,
    DASPickingCallback,
    InMemoryCollectionCallback,
    MultiCallback,
    adapt_callback,
)
from dasdist.errors import DasdistError, InvalidInput
from dasdist.geometry import PatchGrid, Region, Span

from .test_stacking import NoiseModel, make_grid, patch_grids, patches_of, run, stack

ROWS = PatchGrid(47, 12, 7, 12, (0, 12))
COLUMNS = PatchGrid(11, 4, 3, 4, (0, 4))
WHOLE = make_grid(ROWS, COLUMNS)
BLOCKS = replace(WHOLE, core=(10, 5))
OTHER = make_grid(
    PatchGrid(20, 12, 7, 6, (0, 12)),
    COLUMNS,
    index=1,
    first_block=len(BLOCKS),
    recorded=Region(Span(2000, 2020), Span(20, 31)),
    time=WHOLE.time.transform(offset=1000, stride=1, size=20),
)
picking = {"thresholds": 0.5, "min_time_separation": 0.03, "blinding": (1, 1)}


# ---------------------------------------------------------------- in memory


def test_annotations_are_the_stack_with_the_coordinates_of_the_outputs():
    callback = InMemoryCollectionCallback(stacking="avg")
    results = run(callback, [BLOCKS], order=1)
    assert results is callback.annotations
    assert list(results) == ["P", "S"]
    expected = stack("avg", WHOLE, NoiseModel())
    for key, array in results.items():
        assert isinstance(array, xdas.DataArray)
        assert array.dims == ("time", "distance")
        assert array.name == key
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array.values, expected[key])
        assert all(isinstance(c, xdas.InterpCoordinate) for c in array.coords.values())
        np.testing.assert_array_equal(array["time"].values, WHOLE.out_time.values())
        np.testing.assert_array_equal(array["distance"].values, WHOLE.out_distance.values())


def test_coordinates_of_coarser_outputs():
    rows = PatchGrid(16, 16, 1, 4, (2, 14))  # every third sample, from the second on
    array = run(InMemoryCollectionCallback(), [make_grid(rows, COLUMNS)])["P"]
    seconds = (array["time"].values - np.datetime64(1_600_000_010, "s")) / np.timedelta64(1, "s")
    np.testing.assert_allclose(seconds, [0.02, 0.05, 0.08, 0.11])


def test_a_single_channel_has_a_coordinate():
    grid = make_grid(ROWS, PatchGrid(1, 1, 1, 1, (0, 1)))
    array = run(InMemoryCollectionCallback(), [grid])["P"]
    assert array["distance"].values.tolist() == [80.0]


def test_skipped_blocks_stay_nan():
    array = run(InMemoryCollectionCallback(), [BLOCKS], skip={0, 4})["S"]
    missing = np.zeros(BLOCKS.shape, dtype=bool)
    for number in (0, 4):
        core = BLOCKS.block(number).core
        missing[core.time.slice, core.distance.slice] = True
    np.testing.assert_array_equal(np.isnan(array.values), missing)


def test_segments_become_a_sequence():
    found = run(InMemoryCollectionCallback(), [BLOCKS, OTHER], order=2)["P"]
    assert isinstance(found, xdas.DataSequence)
    assert [array.shape for array in found] == [BLOCKS.shape, OTHER.shape]
    for array, grid in zip(found, (WHOLE, OTHER), strict=True):
        np.testing.assert_array_equal(array.values, stack("weighted", grid, NoiseModel())["P"])
        np.testing.assert_array_equal(array["time"].values, grid.out_time.values())


def test_attributes_survive_a_file(tmp_path):
    attrs = {"model": "Toy", "arguments": {"batch_size": 2}}
    array = run(InMemoryCollectionCallback(), [BLOCKS], attrs=attrs)["P"]
    array.to_netcdf(tmp_path / "p.nc")
    assert array.attrs["model"] == "Toy"
    assert json.loads(array.attrs["arguments"]) == {"batch_size": 2}
    again = xdas.open_dataarray(tmp_path / "p.nc")
    np.testing.assert_array_equal(again.values, array.values)


def test_stacking_is_checked_at_once():
    with pytest.raises(InvalidInput, match="'mean'"):
        InMemoryCollectionCallback(stacking="mean")


def test_results_come_after_the_run():
    with pytest.raises(DasdistError, match="annotate"):
        InMemoryCollectionCallback().get_results_dict()


# ---------------------------------------------------------------- written for SeisBench


class Recorder:
    """Keeps all it is told; quacks like a callback of SeisBench."""

    def __init__(self):
        self.calls, self.finished = [], False

    def setup(self, data, patching_structure, annotate_keys):
        self.data, self.structure, self.keys = data, patching_structure, annotate_keys

    def handle_patch(self, annotations, in_coords, out_coords):
        assert not self.finished
        self.calls.append((annotations, in_coords, out_coords))

    def finalize(self):
        self.finished = True

    def get_results_dict(self):
        return {"calls": self.calls}


class Derived(DASAnnotateCallback):
    """The least a user of dasdist has to write."""

    total = 0.0

    def handle_patch(self, annotations, in_coords, out_coords):
        self.total += annotations["P"].sum()

    def get_results_dict(self):
        return {"total": self.total}


def virtual_data(grid):
    """What SeisBench makes of a recording like the grid's."""
    from seisbench.models.das_base import PatchingStructure, VirtualTransformedDataArray

    rows, columns = grid.rows, grid.columns
    structure = PatchingStructure(
        *(rows.window, columns.window, rows.out, columns.out, rows.covers, columns.covers),
        overlap_samples=rows.window - rows.shift,
        overlap_channels=columns.window - columns.shift,
    )
    coords = {
        axis.name: {"tie_indices": [0, axis.size - 1], "tie_values": axis.values()[[0, -1]]}
        for axis in (grid.time, grid.distance)
    }
    recording = xdas.DataArray(np.zeros((rows.size, columns.size), np.float32), coords)
    return VirtualTransformedDataArray(recording, structure), structure


def run_seisbench(callback, grid, model):
    """SeisBench's own loop, with annotations from the fake model."""
    from seisbench.models.das_base import DASModel

    data, structure = virtual_data(grid)
    callback.setup(data, structure, list(model.keys))

    async def places():
        return [place async for _, place in data]

    numbers = product(range(grid.rows.count), range(grid.columns.count))
    for (row, column), place in zip(numbers, asyncio.run(places()), strict=True):
        out = DASModel._transform_patch_coordinates(place, structure)
        callback.handle_patch(model.whole(grid, row, column), place, out)
    callback.finalize()
    return callback.get_results_dict()


@pytest.mark.seisbench
@pytest.mark.parametrize("core", [(47, 11), (10, 11), (10, 5), (1, 11)])
def test_patches_arrive_as_in_seisbench(core):
    theirs, ours = Recorder(), Recorder()
    rows = PatchGrid(47, 12, 7, 5, (1, 11))  # two samples per output
    grid = make_grid(rows, COLUMNS)
    run_seisbench(theirs, grid, NoiseModel())
    run(ClientSideCallback(ours), [replace(grid, core=tuple(np.minimum(core, grid.shape)))])
    assert ours.finished
    assert ours.keys == theirs.keys
    assert len(ours.calls) == len(theirs.calls) == rows.count * COLUMNS.count
    for (ann, place, out), (ann2, place2, out2) in zip(ours.calls, theirs.calls, strict=True):
        assert {key: values.tolist() for key, values in ann.items()} == {
            key: values.tolist() for key, values in ann2.items()
        }
        assert asdict(place) == asdict(place2)
        assert asdict(out) == asdict(out2)
        assert type(place.sample) is int  # callbacks may index with it, as in SeisBench
        assert (out.sample_int, out.channel_int) == (out2.sample_int, out2.channel_int)


@pytest.mark.seisbench
def test_data_and_structure_have_the_attributes_of_seisbench():
    ours = Recorder()
    run(ClientSideCallback(ours), [BLOCKS])
    data, structure = virtual_data(WHOLE)
    for name in ("shape", "dtype", "dt", "dx", "channel_coord_name"):
        assert getattr(ours.data, name) == getattr(data, name), name
    assert list(ours.data.coords) == list(data.coords)
    for name, coord in data.coords.items():
        assert ours.data.coords[name].equals(coord)
    assert {name: getattr(ours.structure, name) for name in vars(structure)} == vars(structure)
    assert ours.structure.shift_samples == structure.shift_samples == 7
    assert ours.structure.shift_channels == structure.shift_channels == 3


@pytest.mark.seisbench
@given(
    rows=patch_grids(every_output=True, whole_steps=True),
    columns=patch_grids(every_output=True, whole_steps=True),
)
def test_seisbench_collects_in_memory(rows, columns):
    from seisbench.models.das_base import InMemoryCollectionCallback as Theirs

    grid = make_grid(rows, columns)
    expected = run_seisbench(Theirs("avg"), grid, NoiseModel())
    found = run(adapt_callback(Theirs("avg")), [replace(grid, core=(7, 5))])
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert found[key].equals(array)


@pytest.mark.seisbench
def test_collecting_in_memory_gives_what_seisbench_gives():
    from seisbench.models.das_base import InMemoryCollectionCallback as Theirs

    for stacking in ("avg", "max", "weighted"):
        expected = run_seisbench(Theirs(stacking), WHOLE, NoiseModel())
        for key, array in run(InMemoryCollectionCallback(stacking), [BLOCKS]).items():
            np.testing.assert_allclose(array.values, expected[key].values, rtol=0, atol=1e-6)
            for name in ("time", "distance"):
                assert array.coords[name].equals(expected[key].coords[name])


@pytest.mark.seisbench
def test_seisbench_picks():
    from seisbench.models.das_base import DASPickingCallback as Theirs

    theirs = Theirs(**picking)
    expected = run_seisbench(theirs, WHOLE, NoiseModel())
    adapted = Theirs(**picking)
    found = run(adapt_callback(adapted), [BLOCKS])
    assert found == expected
    assert min(map(len, found.values())) > 0
    pd.testing.assert_frame_equal(adapted.get_results_dataframe(), theirs.get_results_dataframe())


@pytest.mark.seisbench
def test_seisbench_writes(tmp_path):
    from seisbench.models.das_base import WriterCallback as Theirs

    expected = run_seisbench(Theirs(tmp_path / "theirs"), WHOLE, NoiseModel())
    found = run(adapt_callback(Theirs(tmp_path / "ours")), [BLOCKS])
    assert found == {key: tmp_path / "ours" / key for key in "PS"}
    for key in "PS":
        ours, theirs = (xdas.open_mfdataarray(str(paths[key] / "*")) for paths in (found, expected))
        np.testing.assert_array_equal(ours.values, theirs.values)


def test_skipped_blocks_reach_client_side_callbacks_as_nan():
    """So that no row of patches is missing, whichever blocks are."""
    recorder = Recorder()
    last = len(BLOCKS) - 1
    run(ClientSideCallback(recorder), [BLOCKS], skip={0, 4, last})
    places = [(place.sample, place.channel) for _, place, _ in recorder.calls]
    assert places == [
        (ROWS.start(row), COLUMNS.start(column))
        for row, column in product(range(ROWS.count), range(COLUMNS.count))
    ]
    skipped = [BLOCKS.block(number).core for number in (0, 4, last)]
    for annotations, _, out in recorder.calls:
        owned = any(
            core.time.start <= out.sample < core.time.stop
            and core.distance.start <= out.channel < core.distance.stop
            for core in skipped
        )
        assert np.isnan(annotations["P"]).all() == owned
        assert annotations["S"].shape == (12, 4)


def test_values_outlive_the_batch_they_came_in():
    """Inference may use its buffers again."""
    mapper = ClientSideCallback(Recorder()).mapper()
    accumulator = pickle.loads(pickle.dumps(mapper))(WHOLE.block(0))
    patch = next(patches_of(WHOLE.block(0), NoiseModel()))
    before = patch.annotations["P"].copy()
    accumulator.add(patch)
    patch.annotations["P"][:] = -1
    [kept] = accumulator.part()
    np.testing.assert_array_equal(kept.annotations["P"], before)


def test_several_segments_need_a_callback_of_ours():
    with pytest.raises(InvalidInput, match=r"Recorder .* one segment, but the recording has 2"):
        run(ClientSideCallback(Recorder()), [BLOCKS, OTHER])


def test_the_least_a_callback_has_to_define():
    values = [
        NoiseModel().whole(WHOLE, r, c)["P"].sum() for r in range(ROWS.count) for c in range(4)
    ]
    assert COLUMNS.count == 4
    assert run(adapt_callback(Derived()), [BLOCKS])["total"] == pytest.approx(sum(values))

    class OnlyPatches:
        seen = 0

        def handle_patch(self, annotations, in_coords, out_coords):
            self.seen += 1

    callback = OnlyPatches()
    assert run(adapt_callback(callback), [BLOCKS]) == {}
    assert callback.seen == len(values)


# ---------------------------------------------------------------- adapting


def test_reductions_are_left_as_they_are():
    for callback in (
        DASPickingCallback(),
        InMemoryCollectionCallback(),
        MultiCallback([DASPickingCallback()]),
        ClientSideCallback(Recorder()),
    ):
        assert adapt_callback(callback) is callback


@pytest.mark.parametrize("callback", [Recorder(), Derived()])
def test_others_run_on_the_client(callback):
    adapted = adapt_callback(callback)
    assert isinstance(adapted, ClientSideCallback)
    assert adapted.callback is callback
    assert adapted.needs.in_order
    assert adapted.needs.whole_patches


@pytest.mark.seisbench
def test_multi_of_seisbench_becomes_ours():
    from seisbench.models.das_base import MultiCallback as Theirs

    recorder, stacked = Recorder(), InMemoryCollectionCallback()
    adapted = adapt_callback(Theirs([recorder, stacked]))
    assert isinstance(adapted, MultiCallback)
    assert list(run(adapted, [BLOCKS])) == ["calls", "P", "S"]


class Nothing(DASAnnotateCallback):
    def get_results_dict(self):
        return {}


@pytest.mark.parametrize("thing", [Nothing(), None, print, 3, "picks"])
def test_what_is_no_callback_is_refused(thing):
    with pytest.raises(TypeError, match="not a callback"):
        adapt_callback(thing)
    with pytest.raises(TypeError, match="not a callback"):
        MultiCallback([thing])


def test_a_class_is_no_callback():
    with pytest.raises(TypeError, match=r"pass an instance of it: DASPickingCallback\(...\)"):
        adapt_callback(DASPickingCallback)


# ---------------------------------------------------------------- several at once


def test_each_of_several_callbacks_gets_what_it_gets_alone():
    alone = [DASPickingCallback(**picking), InMemoryCollectionCallback("max"), Recorder()]
    for callback in alone:
        run(adapt_callback(callback), [BLOCKS])
    together = [DASPickingCallback(**picking), InMemoryCollectionCallback("max"), Recorder()]
    multi = MultiCallback(together)
    with pytest.raises(InvalidInput, match="'P', 'S', one of them InMemoryCollectionCallback"):
        run(multi, [BLOCKS])
    assert multi.callbacks == tuple(together)
    pd.testing.assert_frame_equal(together[0].picks, alone[0].picks)
    for key, array in alone[1].annotations.items():
        assert together[1].annotations[key].equals(array)
    assert len(together[2].calls) == len(alone[2].calls)


@pytest.mark.parametrize("skip", [set(), {0, 3}, set(range(len(BLOCKS)))])
def test_skipped_blocks_are_skipped_for_all(skip):
    children = [DASPickingCallback(**picking), InMemoryCollectionCallback()]
    multi = MultiCallback(children)
    with pytest.raises(InvalidInput, match="result named"):
        run(multi, [BLOCKS], skip=skip, order=3)
    picks = run(DASPickingCallback(**picking), [BLOCKS], skip=skip)["picks"]
    pd.testing.assert_frame_equal(children[0].picks, picks)
    assert np.isnan(children[1].annotations["P"].values).all() == (len(skip) == len(BLOCKS))


def test_results_are_merged():
    results = run(MultiCallback([DASPickingCallback(**picking), Recorder()]), [BLOCKS])
    assert list(results) == ["P", "S", "picks", "calls"]


def test_needs_are_those_of_all_children():
    multi = MultiCallback(
        [DASPickingCallback(0.2, 0.5), DASPickingCallback(0.2, 2), InMemoryCollectionCallback()]
    )
    assert (multi.needs.pick_halo, multi.needs.held_outputs) == (2.0, 2)
    assert (multi.needs.in_order, multi.needs.whole_patches) == (False, False)
    nested = MultiCallback([multi, Recorder()])
    assert (nested.needs.pick_halo, nested.needs.held_outputs) == (2.0, 6)
    assert (nested.needs.in_order, nested.needs.whole_patches) == (True, True)


def test_nested_callbacks_run():
    recorder = Recorder()
    inner = MultiCallback([DASPickingCallback(**picking), recorder])
    run(MultiCallback([inner, Derived()]), [BLOCKS])
    assert len(recorder.calls) == ROWS.count * COLUMNS.count
    assert recorder.finished


def test_half_steps_of_time_are_exact():
    """A recording at 3 Hz has no whole nanoseconds."""
    time = replace(WHOLE.time, step=Fraction(10**9, 3))
    array = run(InMemoryCollectionCallback(), [replace(WHOLE, time=time)])["P"]
    assert array["time"][-1].values == time.values()[-1]
