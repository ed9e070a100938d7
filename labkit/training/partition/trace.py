"""Tracing a model's first step: its tree of modules and its chain of layers, with what each costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.partition.chain import Chain
from labkit.training.partition.flow import Flow, Measured, chain_of, num_bytes, tensors_in
from labkit.training.partition.fx_flow import flow_of, trace_graph
from labkit.training.partition.hook_flow import flow_of_run
from labkit.training.partition.measure import measure, undisturbed
from labkit.training.partition.tree import ModuleTree

HOW = ("auto", "fx", "hooks")
CUTS = ("single", "any")


@dataclass(frozen=True, eq=False)
class ModelTrace:
    """What the first step of a model showed.

    Attributes
    ----------
    tree : ModuleTree
    chain : Chain
        Layers that may be on different stages.
    how : str
        ``"fx"`` or ``"hooks"``.
    reason : str
        Why ``torch.fx`` could not trace it, if so.
    """

    tree: ModuleTree
    chain: Chain
    how: str
    reason: str = ""


def trace_model(
    model: nn.Module, inputs, *, how: str = "auto", cuts: str = "single", num_repeats: int = 5
) -> ModelTrace:
    """Run a model a few times and say what its modules cost and what flows between them.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode, training or evaluation, that it is in. Parameters, gradients, buffers and random numbers are
        afterwards as they were.
    inputs : torch.Tensor or tuple
        One micro-batch: the arguments of the model.
    how : str
        ``"fx"``: from the graph that ``torch.fx`` traces. ``"hooks"``: from one run, with hooks on the modules.
        ``"auto"``: the first if it can, else the second.
    cuts : str
        ``"single"``: the model may be cut where one tensor with a gradient crosses, so residual blocks stay whole;
        what else crosses there, such as a mask, is charged. ``"any"``: between any two modules, and all that crosses is
        charged.
    num_repeats : int
        Passes to measure, of which medians are taken; 0: sizes only, all times are 0.

    Raises
    ------
    UsageError
        The model does not run, calls no modules, or cannot be traced in the way that was asked for (with the line of
        the model that prevents it).

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> chain = trace_model(model, torch.zeros(3, 4), num_repeats=0).chain
    >>> [(layer.name, layer.num_parameters, layer.crossing_bytes) for layer in chain.layers]
    [('0', 40, 96), ('1', 0, 96), ('2', 18, 0)]
    """
    for what, value, choices in (("how", how, HOW), ("cuts", cuts, CUTS)):
        if value not in choices:
            raise UsageError(f"trace_model: {what} is one of {', '.join(choices)}, not {value!r}: pass one of them.")
    if not isinstance(model, nn.Module):
        raise UsageError(f"trace_model: a model is a torch.nn.Module, not {type(model).__name__}: pass such a one.")
    if num_repeats < 0:
        raise UsageError(f"trace_model: num_repeats is 0 or more, not {num_repeats}: pass 5, for example.")
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    with undisturbed(model):
        calls, measured = _measured(model, inputs, num_repeats)
        flow, used, reason = _flow(model, inputs, how, calls)
    if flow.calls != calls:
        raise UsageError(
            f"trace_model: two runs of {type(model).__name__} with the same inputs called different modules "
            f"({len(flow.calls)} and {len(calls)} calls): a model whose steps differ cannot be cut into stages; fix "
            "its path, or cut at a module around the part that changes."
        )
    chain = chain_of(model, flow, measured)
    if cuts == "single":
        chain = chain.with_single_crossings()
    return ModelTrace(tree_of(model, flow, measured), chain, used, reason)


def _measured(model: nn.Module, inputs: tuple, num_repeats: int) -> tuple[list[str], Measured]:
    try:
        calls, measured = measure(model, inputs, num_repeats=num_repeats)
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(inputs))
        raise UsageError(
            f"trace_model: {type(model).__name__} does not run forward and backward with inputs of shape {shapes}: "
            f"{type(error).__name__}: {error}. Pass one micro-batch as the model takes it, in a tuple if there are "
            "several arguments."
        ) from error
    if not calls:
        raise UsageError(
            f"trace_model: {type(model).__name__} calls no modules when it runs, so there is nothing to cut between: "
            "write its steps as modules."
        )
    return calls, measured


def _flow(model: nn.Module, inputs: tuple, how: str, calls: list[str]) -> tuple[Flow, str, str]:
    """The flow, the way that gave it, and why not the other one; ``calls`` are the leaves that ran."""
    if how == "hooks":
        return flow_of_run(model, inputs), "hooks", ""
    try:
        graph = trace_graph(model, inputs)
        flow = flow_of(model, graph)
        if flow.calls != calls:
            raise UsageError(
                f"torch.fx traced {len(flow.calls)} calls of modules in {type(model).__name__}, but {len(calls)} ran: "
                "what it does depends on something that a graph cannot hold. Trace what runs: trace_model(model, "
                "inputs, how='hooks')."
            )
        return flow, "fx", ""
    except UsageError as error:
        if how == "fx":
            raise
        return flow_of_run(model, inputs), "hooks", str(error)


def tree_of(model: nn.Module, flow: Flow, measured: Measured) -> ModuleTree:
    """The tree of all modules of a model, with what their leaves cost in it."""
    users: dict[int, set[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            users.setdefault(id(parameter), set()).add(name)
    names = {id(p): name for name, p in model.named_parameters()}
    for key, name in names.items():
        users[key] |= {flow.calls[k] for k in flow.parameters.get(name, ())}

    def grow(prefix: str, module: nn.Module) -> ModuleTree:
        dot = f"{prefix}." if prefix else ""
        own = list(module.parameters())
        pieces = [k for k, call in enumerate(flow.calls) if call == prefix or call.startswith(dot)]
        inside = lambda name: name == prefix or name.startswith(dot)  # noqa: E731
        shared = [
            names[id(p)] for p in own
            if len(users[id(p)]) > 1 and not all(inside(user) for user in users[id(p)])
        ]
        return ModuleTree(
            prefix, type(module).__name__, sum(p.numel() for p in own), sum(map(num_bytes, own)),
            measured.output_bytes.get(prefix, 0), sum(measured.stored_bytes[k] for k in pieces),
            sum(measured.forward_s[k] for k in pieces), sum(measured.backward_s[k] for k in pieces), len(pieces),
            tuple(shared), tuple(grow(f"{dot}{name}", child) for name, child in module.named_children()),
        )

    return grow("", model)
