"""Write down what a network does, as a graph whose steps can be replaced.

A network is run once, on an example, and every function of torch that it calls becomes a step.
What it asks of shapes, and the loops and branches that follow from it, are settled on the way: the
graph is that of one shape.  (Tracing by torch.fx changes what modules do in all threads meanwhile.)
"""

from collections.abc import Callable
from functools import cache
from operator import getitem
from typing import Any
from weakref import ref

import torch
from torch import fx
from torch.overrides import TorchFunctionMode

from dasdist.models.tensors import tensors_in

__all__ = [
    "are_weights",
    "call_instead",
    "held_before",
    "name_of",
    "recorded",
    "runnable",
    "value_of",
]

_CHANGES = {"__iadd__", "__imul__", "__ipow__", "__isub__", "__itruediv__", "__setitem__"}
_LOOKS = {"dim", "ndimension", "numel", "size", "stride", "__len__", "is_contiguous"}


def recorded(network: torch.nn.Module, example: torch.Tensor) -> fx.Graph:
    """Return what a network does, as a graph of functions.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    example : Tensor
        An input.

    Returns
    -------
    Graph
        In ``meta["value"]`` nodes have a tensor of the shape that they give; weights have theirs.

    Raises
    ------
    ValueError
        If what the network does depends on more than shapes, or it changes a tensor in place.

    Examples
    --------
    >>> network = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.ReLU())
    >>> graph = recorded(network, torch.zeros(1, 1, 8))
    >>> [node.target.__name__ for node in graph.nodes if node.op == "call_function"]
    ['conv1d', 'relu']
    """
    recorder = _Recorder(example)
    with torch.no_grad(), recorder:
        result = network(example)
    recorder.graph.output(recorder.nodes_of(result))
    return recorder.graph


def runnable(graph: fx.Graph) -> Callable[[torch.Tensor], Any]:
    """Return a graph as a function, without what was kept of the example.

    Parameters
    ----------
    graph : Graph
        Of :func:`recorded`; steps that are modules have them in ``meta["module"]``.

    Examples
    --------
    >>> graph = recorded(torch.nn.Softsign(), torch.zeros(2))
    >>> runnable(graph)(torch.tensor([1.0, -3.0]))
    tensor([ 0.5000, -0.7500])
    """
    held: dict[str, Any] = {}
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
        elif node.op in ("get_attr", "call_module"):
            held[str(node.target)] = node.meta["value" if node.op == "get_attr" else "module"]
        node.meta.clear()
    # called as a module, it prints what goes wrong before it raises
    run: Callable[[torch.Tensor], Any] = fx.GraphModule(held, graph).eval().forward
    return run


def name_of(node: fx.Node) -> str:
    """Return the name of a step's function, or method."""
    return str(getattr(node.target, "__name__", node.target))


def value_of(node: fx.Node) -> torch.Tensor:
    """Return a weight, or a tensor without values of the shape that a step gives."""
    value: torch.Tensor = node.meta["value"]
    return value


def are_weights(*nodes: fx.Node | None) -> bool:
    """Tell whether nodes, where there are any, are weights and not computed of them."""
    return all(node is None or node.op == "get_attr" for node in nodes)


def call_instead(node: fx.Node, function: Callable[..., torch.Tensor], *args: Any) -> None:
    """Call a function in place of a step, to the same shape."""
    with node.graph.inserting_before(node):
        new = node.graph.call_function(function, args)
    new.meta["value"] = value_of(node)
    node.replace_all_uses_with(new)


def held_before(node: fx.Node, value: torch.Tensor) -> fx.Node:
    """Return a new weight, to be used by what takes the place of a step."""
    with node.graph.inserting_before(node):
        held = node.graph.create_node("get_attr", f"{node.name}_{len(node.graph.nodes)}")
    held.meta["value"] = value
    return held


class _Recorder(TorchFunctionMode):
    """Adds a node to a graph for every function of torch that is called in this thread."""

    def __init__(self, example: torch.Tensor) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self._nodes: dict[int, tuple[ref[torch.Tensor], fx.Node]] = {}
        self._note(example, self.graph.placeholder("x"))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.__name__
        if _in_place(name) or kwargs.get("out") is not None:
            raise ValueError(f"it changes a tensor in place, by {name}")
        result = func(*args, **kwargs)
        if name in _LOOKS or (name == "__get__" and not isinstance(result, torch.Tensor)):
            return result
        if next(tensors_in(result), None) is None:
            raise ValueError(f"what it does depends on values, by {name}")
        self._note(result, self._node(func, self.nodes_of(args), self.nodes_of(kwargs)))
        return result

    def _node(self, func: Any, args: Any, kwargs: Any) -> fx.Node:
        if func.__name__ == "__get__":  # an attribute that is a tensor, such as the transpose
            return self.graph.call_function(getattr, (args[0], func.__self__.__name__))
        if func in _methods():  # not all of them can be had by the names that they have
            return self.graph.call_method(_methods()[func], args, kwargs)
        return self.graph.call_function(func, args, kwargs)

    def nodes_of(self, value: Any) -> Any:
        """Return a value with nodes in place of tensors."""
        if isinstance(value, torch.Tensor):
            known, node = self._nodes.get(id(value), (None, None))
            if known is None or known() is not value:
                node = self.graph.create_node("get_attr", f"held{len(self.graph.nodes)}")
                self._note(value, node)
                node.meta["value"] = value  # a weight
            return node
        if isinstance(value, dict):
            return {key: self.nodes_of(one) for key, one in value.items()}
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            return type(value)(self.nodes_of(one) for one in value)
        return value

    def _note(self, value: Any, node: fx.Node) -> None:
        if isinstance(value, torch.Tensor):
            # of what is computed the shape is enough: it may be large
            node.meta["value"] = value.to("meta")
            self._nodes[id(value)] = ref(value), node
        elif isinstance(value, tuple | list):
            for index, one in enumerate(value):
                if next(tensors_in(one), None) is not None:
                    self._note(one, self.graph.call_function(getitem, (node, index)))


def _in_place(name: str) -> bool:
    return name != "relu_" and (name in _CHANGES or (name.endswith("_") and name[-2] != "_"))


@cache
def _methods() -> dict[Any, str]:
    methods = {name: getattr(torch.Tensor, name) for name in dir(torch.Tensor)}
    return {method: name for name, method in methods.items() if callable(method)}
