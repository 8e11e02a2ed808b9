"""A device that has too little memory for a batch gets smaller ones."""

import numpy as np
import pytest
import torch

import dasdist

from .toys import Toy, noise, recording


class Narrow(Toy):
    """Refuses large batches as a GPU does, for the tests have none that could be filled."""

    error = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    most = 3

    def forward(self, x, argdict=None):
        if x.abs().sum() > 0:  # not the trial of zeros
            SIZES.append(x.shape[0])
            if x.shape[0] > self.most:
                raise self.error
        return super().forward(x)


class NarrowCpu(Narrow):
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")


class NarrowNumpy(Narrow):
    error = MemoryError("Unable to allocate 2.00 GiB")


class NarrowCudnn(Narrow):
    error = RuntimeError("GET was unable to find an engine to execute this computation")


class NarrowOldCudnn(Narrow):
    error = RuntimeError("Unable to find a valid cuDNN algorithm to run convolution")


SIZES = []

KINDS = [Narrow, NarrowCpu, NarrowNumpy, NarrowCudnn, NarrowOldCudnn]


def annotated(model, values):
    collected = dasdist.InMemoryCollectionCallback()
    dasdist.annotate(
        model, recording(values), collected, batch_size=13, block={"time": 300}, pbar=False
    )
    return collected.annotations


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_halved_until_they_fit_and_stay_so(kind, caplog):
    values = noise(2000, 12)
    expected = annotated(Toy(), values)
    SIZES.clear()
    found = annotated(kind(), values)
    for key in ("P", "S"):
        np.testing.assert_allclose(found[key].values, expected[key].values, atol=1e-6)
    # tried once each, and one constant size from then on
    assert SIZES[:3] == [13, 7, 4]
    assert set(SIZES[3:]) == {2}
    assert "batches of 13 do not fit into the memory of cpu" in caplog.text


def test_the_report_says_that_batches_are_smaller():
    data = recording(noise(2000, 12))
    report = dasdist.classify(Narrow(), data, batch_size=13, blinding=(1, 1)).report
    assert report.complete
    said = "batches of 13 do not fit into the memory of cpu; going on with batches of 7."
    assert said in report.notes
    assert f"note: {said}" in str(report)


def test_without_memory_for_one_patch_the_error_says_so():
    class Hopeless(Narrow):
        most = 0

    with pytest.raises(torch.cuda.OutOfMemoryError, match="out of memory"):
        annotated(Hopeless(), noise(500, 12))


def test_other_errors_of_a_model_are_not_taken_for_it():
    class Broken(Narrow):
        error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    SIZES.clear()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        annotated(Broken(), noise(500, 12))
    assert SIZES == [13]


@pytest.mark.parametrize("where", ["lower precision", "any"])
def test_cudnn_without_an_engine_lacks_the_precision_if_float32_fits_else_memory(where):
    class NoEngine(Toy):
        def forward(self, x, argdict=None):
            lower = torch.is_autocast_enabled("cpu")
            if x.abs().sum() > 0 and (lower if where == "lower precision" else len(x) > 3):
                raise NarrowCudnn.error
            return super().forward(x)

    data, options = recording(noise(2000, 12)), {"batch_size": 13, "blinding": (1, 1)}
    expected = dasdist.classify(Toy(), data, **options).picks
    found = dasdist.classify(NoEngine(), data, precision="bf16", **options)
    lacks = "it cannot compute in bf16, so float32 is used: RuntimeError: GET was unable"
    narrow = "batches of 13 do not fit into the memory of cpu"
    said = lacks if where == "lower precision" else narrow
    assert found.report.notes[0].startswith(said)
    assert any(note.startswith(narrow) for note in found.report.notes) == (where == "any")
    assert len(found.picks) == len(expected) > 0
