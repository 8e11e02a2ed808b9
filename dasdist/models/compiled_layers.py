"""The layers of SeisBench's EQTransformer that are slow in torch, compiled.

An LSTM of its own goes through 47 steps of a dozen operations on a few values each, for which the
interpreter takes several times as long as the processor does.  Its attention has a hyperbolic
tangent of 32 values for each pair of 47 steps, and torch takes three passes through memory for it.
"""

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import linear
from torch.overrides import wrap_torch_function

from dasdist.compiled import compiled
from dasdist.models.fold import replace_module

__all__ = ["CompiledAttention", "CompiledLSTM", "tanh", "with_compiled_layers"]

Floats = NDArray[np.float32]

# Python's division looks for zeros, one by one
_compiled_as_numpy = partial(compiled, error_model="numpy")


def with_compiled_layers(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a network with compiled layers in place of SeisBench's.

    Parameters
    ----------
    network : Module
        For inference, in single precision, on the CPU.
    """
    changed = copy.deepcopy(network)
    for module in list(changed.modules()):
        made = _compiled(module)
        if made is not None:
            replace_module(changed, module, made)
    return changed


def _compiled(module: Any) -> torch.nn.Module | None:
    # by their names, for SeisBench need not be there; a subclass may do something else
    names = {
        ("seisbench.models.base", "CustomLSTM"): CompiledLSTM,
        ("seisbench.models.eqtransformer", "SeqSelfAttention"): CompiledAttention,
    }
    kind = names.get((type(module).__module__, type(module).__name__))
    if kind is None or (kind is CompiledLSTM and not _usual(_cells(module))):
        return None
    made: torch.nn.Module = kind(module)
    return made


# ---------------------------------------------------------------- LSTM


class CompiledLSTM(torch.nn.Module):
    """What a ``CustomLSTM`` of SeisBench computes.

    Parameters
    ----------
    original : seisbench.models.base.CustomLSTM
        Of its usual cells.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        cells = _cells(original)
        self._hard = cells[0].gate_activation is not torch.sigmoid
        self.weight_in = _constant(torch.cat([cell.weight_ih for cell in cells]))
        self.bias = _constant(torch.cat([cell.bias_ih + cell.bias_hh for cell in cells]))
        self.weight = _constant(torch.stack([cell.weight_hh.T for cell in cells]))

    def forward(self, x: torch.Tensor, state: None = None) -> tuple[torch.Tensor, None]:
        """Return outputs of shape (samples, windows, directions * features)."""
        gates = linear(x.transpose(0, 1), self.weight_in, self.bias)
        return _steps(gates, self.weight, self._hard).transpose(0, 1), None


def _cells(module: Any) -> list[Any]:
    return [module.cell_f, module.cell_b] if module.bidirectional else [module.cell_f]


def _usual(cells: list[Any]) -> bool:
    gates = [cell.gate_activation for cell in cells]
    known = gates[0] is torch.sigmoid or getattr(gates[0], "__name__", "") == "hard_sigmoid"
    return known and all(
        type(cell).__name__ == "ActivationLSTMCell"
        and cell.recurrent_dropout == 0
        and cell.gate_activation is gates[0]
        for cell in cells
    )


@wrap_torch_function(lambda gates, weight, hard: (gates, weight))
def _steps(gates: torch.Tensor, weight: torch.Tensor, hard: bool) -> torch.Tensor:
    """Go through the steps; gates (windows, samples, directions * 4 * features) of the inputs."""
    windows, samples, _ = gates.shape
    directions, features, _ = weight.shape
    out = torch.empty(windows, samples, directions * features)
    _lstm(_values(gates), _values(weight), hard, out.numpy())
    return out


@_compiled_as_numpy
def tanh(x: Any) -> Any:
    """Return a hyperbolic tangent to 3e-7, of what processors do on many values at once.

    The quotient of polynomials is that of Eigen (``generic_fast_tanh_float``).

    Examples
    --------
    >>> round(float(tanh(np.float32(0.5))), 6)
    0.462117
    """
    x = min(max(x, np.float32(-7.9)), np.float32(7.9))
    y = x * x
    p = np.float32(-2.76076847742355e-16) * y + np.float32(2.00018790482477e-13)
    p = p * y + np.float32(-8.60467152213735e-11)
    p = p * y + np.float32(5.12229709037114e-08)
    p = p * y + np.float32(1.48572235717979e-05)
    p = p * y + np.float32(6.37261928875436e-04)
    p = p * y + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06) * y + np.float32(1.18534705686654e-04)
    q = q * y + np.float32(2.26843463243900e-03)
    q = q * y + np.float32(4.89352518554385e-03)
    return x * p / q


@_compiled_as_numpy
def _opened(x: Any, hard: bool) -> Any:
    """Return how far a gate is open: a logistic function, or straight lines like it."""
    half = np.float32(0.5)
    if hard:
        return min(max(np.float32(0.2) * x + half, np.float32(0)), np.float32(1))
    return half * tanh(half * x) + half


@_compiled_as_numpy
def _lstm(gates: Floats, weight: Floats, hard: bool, out: Floats) -> None:
    windows, samples, _ = gates.shape
    directions, features, four = weight.shape
    now = np.empty(four, np.float32)
    memory = np.empty(features, np.float32)
    told = np.empty(features, np.float32)
    for window in range(windows):
        for direction in range(directions):
            memory[:] = np.float32(0)
            told[:] = np.float32(0)
            for step in range(samples):
                sample = samples - 1 - step if direction else step
                for gate in range(four):
                    now[gate] = gates[window, sample, direction * four + gate]
                for feature in range(features):
                    value = told[feature]
                    for gate in range(four):
                        now[gate] += value * weight[direction, feature, gate]
                for feature in range(features):  # gates in torch's order
                    taken = _opened(now[feature], hard)
                    kept = _opened(now[features + feature], hard)
                    given = _opened(now[3 * features + feature], hard)
                    new = tanh(now[2 * features + feature])
                    memory[feature] = kept * memory[feature] + taken * new
                    told[feature] = given * tanh(memory[feature])
                    out[window, sample, direction * features + feature] = told[feature]


# ---------------------------------------------------------------- attention


class CompiledAttention(torch.nn.Module):
    """What a ``SeqSelfAttention`` of SeisBench computes.

    Parameters
    ----------
    original : seisbench.models.eqtransformer.SeqSelfAttention
        The layer.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.asking = _constant(original.Wt.T)
        self.asked = _constant(original.Wx.T)
        self.bias = _constant(original.bh)
        self.weight = _constant(original.Wa[:, 0])
        self._width = original.attention_width
        self._eps = original.eps

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is attended to, shape (windows, channels, samples), and how much."""
        rows = x.transpose(1, 2)
        # what all of them share, such as ``ba``, makes no difference once the largest is taken off
        emissions = _emissions(
            linear(rows, self.asking, self.bias), linear(rows, self.asked), self.weight
        )
        shares = torch.exp(emissions - emissions.amax(-1, keepdim=True))
        if self._width is not None:
            behind = self._width // 2
            shares = shares.tril(behind).triu(behind - self._width + 1)
        shares = shares / (shares.sum(-1, keepdim=True) + self._eps)
        return torch.matmul(shares, rows).transpose(1, 2), shares


@wrap_torch_function(lambda asking, asked, weight: (asking, asked, weight))
def _emissions(asking: torch.Tensor, asked: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the emission of each sample for each other, shape (windows, samples, samples)."""
    windows, samples, _ = asking.shape
    out = torch.empty(windows, samples, samples)
    _sums(_values(asking), _values(asked), _values(weight), out.numpy())
    return out


def _sums(asking: Floats, asked: Floats, weight: Floats, out: Floats) -> None:
    windows, samples, units = asking.shape
    for window in range(windows):
        for one in range(samples):
            for other in range(samples):
                total = np.float32(0)
                for unit in range(units):
                    value = asking[window, one, unit] + asked[window, other, unit]
                    total += weight[unit] * tanh(value)
                out[window, one, other] = total


_sums = compiled(
    _sums, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)  # so that sums go side by side


def _values(tensor: torch.Tensor) -> Floats:
    values: Floats = tensor.detach().float().contiguous().numpy()
    return values


def _constant(values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values.detach().contiguous(), requires_grad=False)
