"""What is wrong is said before any block runs: the fact, the limit and the remedy."""

import numpy as np
import pytest
import torch
import xdas

import dasdist

from .toys import START, Toy, noise, recording


class Counting(dasdist.DASPickingCallback):
    """Fails a test when a block runs."""

    def mapper(self):
        pytest.fail("a block was about to run")


@pytest.fixture
def model():
    return Toy()


def refuses(error, match, model, data, **kwargs):
    for call in (dasdist.plan, dasdist.classify):
        with pytest.raises(error, match=match):
            call(model, data, **kwargs)
    kwargs = {k: v for k, v in kwargs.items() if k != "thresholds"}
    with pytest.raises(error, match=match):
        dasdist.annotate(model, data, Counting(), **kwargs)


def test_too_short(model):
    refuses(
        dasdist.InvalidInput,
        "63 samples x 8 channels .* window of 64 x 4",
        model,
        recording(noise(63, 8)),
    )
    refuses(dasdist.InvalidInput, "100 samples x 3 channels", model, recording(noise(100, 3)))


def test_wrong_number_of_dims(model):
    cube = xdas.DataArray(np.zeros((100, 8, 2), "float32"), dims=("time", "distance", "component"))
    refuses(dasdist.InvalidInput, "3", model, cube)


def test_no_channel_axis(model):
    data = recording(noise(100, 8))
    refuses(dasdist.InvalidInput, "depth", model, data, channel_coord_name="depth")


@pytest.mark.parametrize("dtype", ["complex64", "bool", "U3"])
def test_not_numeric(model, dtype):
    data = recording(np.zeros((100, 8)).astype(dtype))
    refuses(dasdist.InvalidInput, "complex64|bool|U3|str", model, data)


def test_not_a_data_array(model):
    refuses(dasdist.InvalidInput, "ndarray", model, noise(100, 8))


def test_unknown_phase_in_thresholds(model):
    data = recording(noise(200, 8))
    with pytest.raises(dasdist.InvalidInput, match=r"'Pn'.*'P'"):
        dasdist.classify(model, data, thresholds={"Pn": 0.3, "P": 0.2, "S": 0.3})
    with pytest.raises(dasdist.InvalidInput, match="S"):
        dasdist.classify(model, data, thresholds={"P": 0.2})


def test_sampling_that_no_ratio_reaches():
    model = Toy(dt_range=(0.0099, 0.0101))
    refuses(
        dasdist.InvalidInput,
        "time.*range of 0.0099 to 0.0101",
        model,
        recording(noise(900, 8), rate=5.0),
    )


def test_a_block_too_large_for_the_worker(model):
    from dasdist.callbacks import Needs
    from dasdist.inference.replica import predictor_of
    from dasdist.planning.fit import make_plan
    from dasdist.planning.resources import Resources
    from dasdist.run.options import RunOptions
    from dasdist.run.request import Request

    data = recording(np.broadcast_to(np.float32(0), (2_000_000, 40)))
    job = Request.of(model, data, RunOptions(), {})
    with pytest.raises(dasdist.BlockTooLarge, match=r"B on a worker of 1\.0 GB .* choose smaller"):
        make_plan(
            job.recording,
            predictor_of(job.payload.token),
            {},
            needs=Needs(),
            resources=Resources(memory=1_000_000_000),
            block={"time": 10**6, "distance": 40},
        )


class Promising(Toy):
    """Returns one sample less than it promises."""

    def forward(self, x, argdict=None):
        return {key: values[:, :-1] for key, values in super().forward(x).items()}


def test_outputs_that_do_not_match_the_patching_structure():
    refuses(
        dasdist.ModelMismatch,
        r"'P' with shape \(2, 15, 4\) .* promises \(2, 16, 4\)",
        Promising(),
        recording(noise(200, 8)),
    )


def test_missing_output_keys():
    class Silent(Toy):
        def forward(self, x, argdict=None):
            return {"P": super().forward(x)["P"]}

    refuses(dasdist.ModelMismatch, r"method returned \['P'\]", Silent(), recording(noise(200, 8)))


def test_no_model():
    with pytest.raises(dasdist.InvalidInput, match="Linear is not a model for DAS data"):
        dasdist.annotate(torch.nn.Linear(2, 2), recording(noise(200, 8)))


def test_unknown_argument_names_the_nearest(model):
    data = recording(noise(200, 8))
    with pytest.raises(TypeError, match="'overlap_sample'; did you mean 'overlap_samples'"):
        dasdist.annotate(model, data, overlap_sample=3)
    with pytest.raises(TypeError, match="'treshold'; did you mean 'thresholds'"):
        dasdist.classify(model, data, treshold=3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "a"}, "batch_size is 'a'"),
        ({"tolerance": "a"}, "tolerance"),
        ({"client": "tcp://127.0.0.1:8786"}, "pass a distributed.Client"),
        ({"block": (10, 10)}, "block is"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"overlap_samples": 64}, "no step between patches of 64"),
        ({"overlap_samples": -50}, "overlap_samples is -50"),
        ({"overlap_channels": "a"}, "overlap_channels is 'a'"),
        ({"block": {"time": 0}}, "block"),
        ({"block": {"times": 10}}, "'times'"),
    ],
)
def test_bad_arguments(model, arguments, match):
    refuses(dasdist.InvalidInput, match, model, recording(noise(200, 8)), **arguments)


def test_overlap_smaller_than_blinding_warns(model):
    with pytest.warns(dasdist.DataWarning, match="overlap"):
        dasdist.classify(
            model, recording(noise(300, 8)), overlap_samples=0, blinding=(5, 5), pbar=False
        )


def test_short_segments_are_reported_not_dropped(model):
    values = noise(500, 8)
    data = recording(values)
    gap = np.timedelta64(10, "s")
    pieces = [data[:300], data[300:330], data[330:]]
    for number, piece in enumerate(pieces):
        piece.coords["time"] = {
            "tie_indices": [0, piece.shape[0] - 1],
            "tie_values": [
                piece["time"][0].values + number * gap,
                piece["time"][-1].values + number * gap,
            ],
        }
    joined = xdas.concatenate(pieces)
    with pytest.warns(dasdist.DataWarning, match="1 of 3 segments is too short"):
        found = dasdist.classify(model, joined, thresholds=0.6, blinding=(1, 1), pbar=False)
    assert [s.recorded.time.start for s in found.report.skipped] == [300]
    assert not found.report.complete
    assert set(found.picks.segment) == {0, 1}
    assert found.picks.sample_index.max() > 330
    assert START < found.picks.time.min()


def test_blinding_is_a_pair(model):
    with pytest.raises(dasdist.InvalidInput, match="blinding=5"):
        dasdist.classify(model, recording(noise(200, 8)), blinding=5)


class Tupled(Toy):
    def forward(self, x, argdict=None):
        return tuple(super().forward(x).values())


class Single(Toy):
    def forward(self, x, argdict=None):
        return {key: values[:1] for key, values in super().forward(x).items()}


@pytest.mark.parametrize(("wrong", "match"), [(Tupled, "returned a tuple"), (Single, "promises")])
def test_outputs_that_are_no_batch_of_keys(wrong, match):
    refuses(dasdist.ModelMismatch, match, wrong(), recording(noise(200, 8)))


@pytest.mark.seisbench
def test_arguments_that_mean_nothing_on_das_data():
    models = pytest.importorskip("seisbench.models")
    model = dasdist.DASWaveformModelWrapper(models.PhaseNet())
    data = recording(noise(4000, 2))
    with pytest.raises(TypeError, match=r"thresholds=\{'P': \.\.\.\}"):
        dasdist.classify(model, data, P_threshold=0.9)
    for argument in ("stacking", "strict", "flexible_horizontal_components"):
        with pytest.raises(TypeError, match=argument):
            dasdist.annotate(model, data, Counting(), **{argument: True})
