"""Tracing a model with ``torch.fx``, and its layers in the order in which it calls them."""

from __future__ import annotations

import inspect
import traceback

from torch import fx, nn

from labkit.errors import UsageError

CONTAINERS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


def even_stages(model: nn.Module, num_stages: int) -> list[tuple[str, ...]]:
    """The names of a model's layers in so many runs, with about equally many parameters each.

    Layers are the modules that the model calls: its children, or what is in their lists.

    Raises
    ------
    UsageError
        There are fewer layers with parameters than stages.
    """
    layers = [name for name in _layers_in_order(model) if any(True for _ in model.get_submodule(name).parameters())]
    if not 1 <= num_stages <= len(layers):
        raise UsageError(
            f"a model of {len(layers)} layers with parameters "
            f"({', '.join(layers[:6])}{', ...' if len(layers) > 6 else ''}) "
            f"cannot be cut into {num_stages} stages, each with a layer or more: take 1 to {len(layers)} stages."
        )
    sizes = [sum(p.numel() for p in model.get_submodule(name).parameters()) for name in layers]
    total, stages, start, done = sum(sizes), [], 0, 0
    for number in range(num_stages):
        end = start + 1
        done += sizes[start]
        while len(layers) - end > num_stages - number - 1 and (
            number == num_stages - 1 or done + sizes[end] / 2 <= total * (number + 1) / num_stages
        ):
            done += sizes[end]
            end += 1
        stages.append(tuple(layers[start:end]))
        start = end
    return stages


def _layers_in_order(model: nn.Module) -> list[str]:
    """Names of the modules that a model calls, in the order in which it does so first."""
    whole, stack = set(), [("", model)]
    while stack:
        prefix, module = stack.pop()
        for name, child in module.named_children():
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(child, CONTAINERS):
                stack.append((path, child))
            else:
                whole.add(path)
    graph = trace(model, whole)
    return list(dict.fromkeys(node.target for node in graph.nodes if node.op == "call_module"))


class _Tracer(fx.Tracer):
    def __init__(self, whole: set[str]):
        super().__init__()
        self.whole = whole

    def is_leaf_module(self, module, qualified_name) -> bool:
        is_simple = next(module.children(), None) is None  # nothing inside to cut
        return is_simple or qualified_name in self.whole or super().is_leaf_module(module, qualified_name)


def trace(model: nn.Module, whole: set[str]) -> fx.Graph:
    """The calls of a model; modules of these names are called as they are.

    Raises
    ------
    UsageError
        ``torch.fx`` cannot follow it; with the line.
    """
    parameters = list(inspect.signature(model.forward).parameters.values())[1:]
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    try:
        return _Tracer(whole).trace(model, concrete_args=defaults or None)
    except Exception as error:
        raise UsageError(
            f"{type(model).__name__} cannot be traced by torch.fx, which the cut needs: {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else error}{_where(error)}. Move that line into a module that "
            "lies whole on one stage, or write the model as a torch.nn.Sequential of such modules."
        ) from error


def _where(error: BaseException) -> str:
    """The last line that is not torch's."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename and f.filename != __file__
    ]
    return f" (at {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
