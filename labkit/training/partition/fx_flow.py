"""What flows between modules, from a graph of ``torch.fx``, made while the model computes.

Usual symbolic tracing knows no values, so ``if tokens.shape[1] > self.length`` stops it. Here every step of the trace
is computed with the example, too: a question about shapes has an answer. A question about what is *in* a tensor has
none that holds for other inputs, and is refused with the line that asks.
"""

from __future__ import annotations

import inspect
import os
import traceback

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate

from labkit.errors import UsageError
from labkit.training.partition.flow import Flow, Value, is_leaf, num_bytes, tensors_in

TORCH_FOLDER = os.path.dirname(torch.__file__)
HERE = os.path.dirname(__file__)


class AskedForValues(Exception):
    """The model looked into a tensor to decide what to do."""


class ValueTracer(fx.Tracer):
    """A tracer whose every node has the value that it takes with the example, in ``node.meta["value"]``."""

    def __init__(self, inputs: tuple):
        super().__init__()
        self.inputs = list(inputs)
        self.is_computing = False

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return is_leaf(module)

    def create_proxy(self, kind, target, args, kwargs, *rest, **options):
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        proxy.node.meta["value"] = self._value(kind, target, *map_aggregate((args, kwargs), _value_of))
        return proxy

    def _value(self, kind, target, args, kwargs):
        if kind == "placeholder":
            return self.inputs.pop(0) if self.inputs else args[0]  # arguments that were not given have their default
        if kind == "output":
            return args[0]
        self.is_computing = True
        try:
            if kind == "get_attr":
                found = self.root
                for part in target.split("."):
                    found = getattr(found, part)
                return found
            if kind == "call_module":
                return self.root.get_submodule(target)(*args, **kwargs)
            if kind == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return target(*args, **kwargs)
        finally:
            self.is_computing = False

    def call_module(self, m, forward, args, kwargs):
        return forward(*args, **kwargs) if self.is_computing else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        return attr_val if self.is_computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = obj.node.meta["value"]
        if next(tensors_in(value), None) is not None:
            raise AskedForValues("whether to go on this way depends on the numbers in a tensor")
        return bool(value)

    def iter(self, obj: fx.Proxy):
        value = obj.node.meta["value"]
        return iter([obj[k] for k in range(len(value))])


def _value_of(part):
    return part.node.meta["value"] if isinstance(part, fx.Proxy) else part


def trace_graph(model: nn.Module, inputs: tuple) -> fx.Graph:
    """The graph of a model, with an example value at every node.

    Raises
    ------
    UsageError
        The model cannot be traced: which line of it, and what to do.
    """
    names = list(inspect.signature(model.forward).parameters.values())[len(inputs) :]
    constants = {p.name: p.default for p in names if p.default is not p.empty}
    tracer = ValueTracer(inputs)
    try:
        graph = tracer.trace(model, concrete_args=constants or None)
    except Exception as error:
        raise UsageError(
            f"torch.fx cannot trace {type(model).__name__}: {_where(error)}: {error}. Trace what runs instead of what "
            "is written: trace_model(model, inputs, how='hooks'); or take that decision before the model."
        ) from error
    for node in reversed(graph.nodes):  # what only answered a question about shapes
        changes_in_place = str(getattr(node.target, "__name__", node.target)).endswith("_")
        if node.op in ("call_function", "call_method", "get_attr") and not node.users and not changes_in_place:
            graph.erase_node(node)
    return graph


def _where(error: Exception) -> str:
    """The line of the model where it happened: the last one that is not of torch or of this file."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((TORCH_FOLDER, HERE, "<frozen", "<string>", "<eval_with_key>"))
    ]
    if not frames:
        return "in its forward"
    frame = frames[-1]
    return f"{os.path.basename(frame.filename)}, line {frame.lineno}, in {frame.name}: `{(frame.line or '').strip()}`"


def flow_of(model: nn.Module, graph: fx.Graph) -> Flow:
    """Pieces, what they make and use, from the graph's nodes in order."""
    flow, piece, values = Flow(), 0, {}
    names = {id(p): name for name, p in model.named_parameters()}  # one of several names of a tied parameter
    for node in graph.nodes:
        if node.op == "call_module":
            flow.calls.append(node.target)
            piece = len(flow.calls) - 1
            for parameter in model.get_submodule(node.target).parameters():
                flow.uses(names[id(parameter)], piece)
        elif node.op == "get_attr":
            continue
        for source in node.all_input_nodes:
            if source.op == "get_attr":
                if id(source.meta["value"]) in names:
                    flow.uses(names[id(source.meta["value"])], piece)
            else:
                values[source].last_use = piece
        tensors = list(tensors_in(node.meta.get("value"))) if node.op != "output" else []
        values[node] = Value(piece, sum(map(num_bytes, tensors)), any(t.requires_grad for t in tensors), piece)
    flow.values = list(values.values())
    return flow
