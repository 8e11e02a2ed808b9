"""GPUs compute in all bits of float32, or in TF32 where that is asked for, and leave no trace.

Torch takes these settings also where there is no GPU, so that they are looked at here on a CPU.
"""

import threading

import pytest
import torch

from dasdist.signal import full_precision, in_tf32

GPU = torch.device("cuda")
CUDNN, PRODUCTS = torch.backends.cudnn, torch.backends.cuda.matmul

NAMES = {
    "convolutions, LSTMs": (CUDNN, "allow_tf32"),
    "products": (PRODUCTS, "allow_tf32"),
    "deterministic": (CUDNN, "deterministic"),
    "benchmark": (CUDNN, "benchmark"),
}
if hasattr(CUDNN, "rnn"):  # torch 2.9
    NAMES |= {
        "convolutions": (CUDNN.conv, "fp32_precision"),
        "LSTMs": (CUDNN.rnn, "fp32_precision"),
        "products alone": (PRODUCTS, "fp32_precision"),
        "products of CPUs": (torch.backends.mkldnn.matmul, "fp32_precision"),
    }


def settings():
    found = {
        name: told(lambda w=where, a=attribute: getattr(w, a))
        for name, (where, attribute) in NAMES.items()
    }
    return found | {"in words": told(torch.get_float32_matmul_precision)}


def told(read):
    try:
        return read()
    except RuntimeError:
        return "contradictory"


@pytest.fixture
def untouched():
    """Put the settings back that a test makes."""
    before = settings()
    yield
    torch.set_float32_matmul_precision(before["in words"])
    for name, (where, attribute) in NAMES.items():
        setattr(where, attribute, before[name])
    if hasattr(CUDNN, "rnn"):
        torch.backends.fp32_precision = "none"
    assert settings() == before


def as_it_is():
    pass


def all_in_tf32():
    CUDNN.allow_tf32 = PRODUCTS.allow_tf32 = CUDNN.benchmark = True


def in_words():
    torch.set_float32_matmul_precision("medium")


def convolutions_alone():
    CUDNN.conv.fp32_precision = "ieee"


def by_one_name_for_all():
    torch.backends.fp32_precision = "tf32"


@pytest.mark.parametrize(
    "before",
    [as_it_is, all_in_tf32, in_words]
    + [convolutions_alone, by_one_name_for_all] * hasattr(CUDNN, "rnn"),
)
@pytest.mark.parametrize("tf32", [False, True])
def test_all_that_computes_does_so_in_the_bits_asked_for_and_settings_are_put_back(
    untouched, before, tf32
):
    before()
    found = settings()
    with (in_tf32 if tf32 else full_precision)(GPU):
        inside = settings()
    # inductor asks for the first two, which torch does not tell where they contradict others
    assert inside["convolutions, LSTMs"] is inside["products"] is tf32
    assert inside["deterministic"] is True
    assert inside["benchmark"] is False
    for name in ("convolutions", "LSTMs", "products alone"):
        assert inside.get(name, "tf32" if tf32 else "ieee") == ("tf32" if tf32 else "ieee")
    assert settings() == found


def test_several_threads_may_be_in_it_and_the_last_puts_it_back(untouched):
    CUDNN.allow_tf32 = PRODUCTS.allow_tf32 = True
    first, second = full_precision(GPU), full_precision(GPU)
    for step in (first.__enter__, second.__enter__, lambda: first.__exit__(None, None, None)):
        step()
        assert CUDNN.allow_tf32 is PRODUCTS.allow_tf32 is False
    second.__exit__(None, None, None)
    assert CUDNN.allow_tf32 is PRODUCTS.allow_tf32 is True


def test_who_wants_tf32_waits_for_those_who_want_all_bits(untouched):
    seen = []
    entered = threading.Event()

    def other():
        with in_tf32(GPU):
            seen.append(CUDNN.allow_tf32)
            entered.set()

    thread = threading.Thread(target=other)
    with full_precision(GPU):
        thread.start()
        assert not entered.wait(0.05)
        seen.append(CUDNN.allow_tf32)
    thread.join()
    assert seen == [False, True]


def test_a_cpu_is_left_alone():
    before = settings()
    with full_precision(torch.device("cpu")):
        assert settings() == before
