"""Transposed convolutions and the convolutions that stand in for them."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from dasdist.models.subpixel import SubpixelConv1d, with_subpixels


@given(
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 6),
    padding=st.integers(0, 6),
    bias=st.booleans(),
    samples=st.integers(1, 12),
    batch=st.sampled_from([(), (1,), (3,)]),
    seed=st.integers(0, 2**31),
)
def test_they_are_the_same(inputs, outputs, kernel, stride, padding, bias, samples, batch, seed):
    assume((samples - 1) * stride + kernel > 2 * padding)  # torch wants an output
    torch.manual_seed(seed)
    transposed = torch.nn.ConvTranspose1d(
        inputs, outputs, kernel, stride, padding=padding, bias=bias, dtype=torch.float64
    )
    x = torch.randn(*batch, inputs, samples, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(SubpixelConv1d(transposed)(x), transposed(x))


def test_only_what_can_be_replaced_is_and_the_network_stays():
    network = torch.nn.Sequential(
        torch.nn.ConvTranspose1d(4, 4, 7, 4),
        torch.nn.ConvTranspose1d(4, 4, 7, 4, groups=2),
        torch.nn.ConvTranspose1d(4, 4, 7, 4, dilation=2),
        torch.nn.ConvTranspose1d(4, 4, 7, 4, output_padding=1),
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ConvTranspose1d(4, 4, 7, 4)),
    )
    changed = with_subpixels(network)
    assert [type(part) is SubpixelConv1d for part in changed[:4]] == [True, False, False, False]
    assert type(changed[4][1]) is SubpixelConv1d
    assert type(network[0]) is type(network[4][1]) is torch.nn.ConvTranspose1d
    x = torch.randn(2, 4, 9)
    with torch.no_grad():
        torch.testing.assert_close(changed(x), network(x), rtol=0, atol=1e-5)
