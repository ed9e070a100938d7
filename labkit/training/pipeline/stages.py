"""A model cut into stages: each a module of its own that passes values on to the next one.

The model is traced once with ``torch.fx``: what it calls, and which result goes where. Each call belongs to the stage
of its module; what lies between two modules (an addition, a ReLU written as a function) to the earliest stage that has
all it needs. Between two stages go exactly the values that are made on one side and used on the other: one activation,
or several where a residual passes, or a mask that every block wants. Only modules that are cut are traced inside; the
rest are called as they are, so they may do whatever they like.

Parameters stay those of the model, with their names. One that two stages use, such as an embedding that is the last
matrix as well, is *tied*: each holds it, and the executor adds their gradients up.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx, nn

from labkit.errors import UsageError
from labkit.training.pipeline.layers import even_stages, trace
from labkit.training.pipeline.stage_names import prefixes, stage_of_names

IN_PLACE = (operator.iadd, operator.imul, operator.isub, operator.itruediv)


@dataclass(frozen=True, eq=False)
class Stage:
    """One part of a model.

    Attributes
    ----------
    number : int
    modules : tuple of str
        Names of what lies on it.
    train, eval : torch.fx.GraphModule
        Called with the values of ``inputs``; ``train`` returns (values of ``outputs``, the entry or None), see
        :mod:`.split_backward`.
    inputs, outputs : tuple of str
        Names of the values that come in and go out; the model's own input and output at the ends.
    parameters, buffers : tuple of str
        The model's names of those that the stage uses.
    """

    number: int
    modules: tuple[str, ...]
    train: fx.GraphModule
    eval: fx.GraphModule
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CutModel:
    """All stages of a model.

    Attributes
    ----------
    model : torch.nn.Module
    stages : tuple of Stage
    tied : dict
        Name of a parameter that several stages use, to the numbers of these stages.
    """

    model: nn.Module
    stages: tuple[Stage, ...]
    tied: dict[str, tuple[int, ...]]

    def __str__(self) -> str:
        lines = []
        for stage in self.stages:
            count = sum(self.model.get_parameter(name).numel() for name in stage.parameters)
            lines.append(f"stage {stage.number}: {', '.join(stage.modules)} ({count:,} parameters)")
        lines += [f"{name} is shared by the stages {', '.join(map(str, s))}" for name, s in self.tied.items()]
        return "\n".join(lines)


def cut(model: nn.Module, stages) -> CutModel:
    """Cut a model.

    Parameters
    ----------
    model : torch.nn.Module
        Of one input. Its parts that are cut must be traceable with ``torch.fx``: no ``if`` on values or shapes.
    stages : int, Partition, or sequence of sequences of str
        The names of the modules of each stage, in the order in which they run; a number makes stages with about
        equally many parameters. A name stands for all that is inside it; modules without parameters may be left out.

    Raises
    ------
    UsageError
        A stage is empty, a name is unknown or in two stages, modules run in another order, there are fewer modules than
        stages, or the model cannot be traced.

    Examples
    --------
    >>> layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> print(cut(layers, 2))
    stage 0: 0 (40 parameters)
    stage 1: 2 (18 parameters)
    >>> [stage.outputs for stage in cut(layers, [["0"], ["2"]]).stages]
    [('_1',), ('output',)]
    """
    if isinstance(stages, int) and not isinstance(stages, bool):
        names = even_stages(model, stages)
    else:
        names = [tuple(part) for part in getattr(stages, "stages", stages)]
    stage_of = stage_of_names(model, names)
    was_training = model.training
    try:
        graphs = [_Assigned(model.train(mode), stage_of, len(names)) for mode in (True, False)]
    finally:
        model.train(was_training)
    users: dict[int, list[int]] = {}
    made = []
    for number, part in enumerate(names):
        train, evaluate = (graph.stage_module(number) for graph in graphs)
        for parameter in {id(p): p for p in train.parameters()}.values():
            users.setdefault(id(parameter), []).append(number)
        made.append((train, evaluate, part))
    name_of = {id(p): name for name, p in model.named_parameters()}
    buffer_of = {id(b): name for name, b in model.named_buffers()}
    unused = tuple(name for key, name in name_of.items() if key not in users)  # somebody keeps them: the first stage
    result = []
    for number, (train, evaluate, part) in enumerate(made):
        inputs, outputs = graphs[0].boundary(number), graphs[0].boundary(number + 1)
        own = [name_of[id(p)] for p in train.parameters()]
        buffers = [buffer_of[id(b)] for b in train.buffers() if id(b) in buffer_of]
        result.append(
            Stage(
                number, part, train, evaluate, inputs, outputs, (*own, *(unused if number == 0 else ())), tuple(buffers)
            )
        )
    _check_buffers(result)
    tied = {name_of[key]: tuple(numbers) for key, numbers in users.items() if len(numbers) > 1}
    return CutModel(model, tuple(result), tied)


class _Assigned:
    """A traced model whose nodes have their stages."""

    def __init__(self, model: nn.Module, stage_of: dict[str, int], num_stages: int):
        self.model, self.stage_of, self.num_stages = model, stage_of, num_stages
        self.graph = trace(model, self._whole_modules())
        self.stages: dict[fx.Node, int | None] = {}  # None: constants and what depends on parameters alone
        self._assign()
        self._check_used()
        self.live = [self._live_before(number) for number in range(num_stages)]

    def _whole_modules(self) -> set[str]:
        whole = set()
        for name, module in self.model.named_modules():
            inside = {stage for other, stage in self.stage_of.items() if other == name or other.startswith(f"{name}.")}
            above = any(prefix in self.stage_of for prefix in prefixes(name))
            if name and (above or len(inside) == 1) and not isinstance(module, (nn.ModuleList, nn.ModuleDict)):
                whole.add(name)
        return whole

    def _own_stage(self, target: str) -> int | None:
        for name in (target, *prefixes(target)):
            if name in self.stage_of:
                return self.stage_of[name]
        return next((stage for name, stage in self.stage_of.items() if name.startswith(f"{target}.")), None)

    def _assign(self) -> None:
        met: set[str] = set()
        for node in self.graph.nodes:
            known = [self.stages[n] for n in node.all_input_nodes if self.stages[n] is not None]
            if node.op == "placeholder":
                stage = 0
            elif node.op == "get_attr" or (not known and node.op in ("call_function", "call_method")):
                stage = None
            else:
                stage = max(known, default=0)
                if node.op == "call_module":
                    own = self._own_stage(node.target)
                    if own is not None and own < stage and node.target not in met:
                        raise UsageError(
                            f"{node.target!r} lies on stage {own}, but runs after a module of stage {stage}, whose "
                            "result it uses: list the modules in the order in which they run."
                        )
                    stage = max(stage, own or 0)
                    met.add(node.target)
                elif node.op == "output":
                    stage = self.num_stages - 1
            self.stages[node] = stage
        self.output = next(node for node in self.graph.nodes if node.op == "output")

    def _check_used(self) -> None:
        used = {self.stages[node] for node in self.graph.nodes if node.op == "call_module"}
        for number in range(self.num_stages):
            if number not in used:
                names = [name for name, stage in self.stage_of.items() if stage == number]
                raise UsageError(
                    f"stage {number} of {self.num_stages} is empty: the model never calls {', '.join(names)} in its "
                    "forward. Give the stage a module that it calls, or take fewer stages."
                )

    def _live_before(self, number: int) -> list[fx.Node]:
        """What comes into a stage, in the order in which it was made."""
        if number == 0:
            return [node for node in self.graph.nodes if node.op == "placeholder"][:1]
        return [
            node for node in self.graph.nodes
            if self.stages[node] is not None and self.stages[node] < number
            and any(self._reaches_over(user, number) for user in node.users)
        ]

    def _reaches_over(self, user: fx.Node, number: int) -> bool:
        return self.stages[user] is not None and self.stages[user] >= number

    def boundary(self, number: int) -> tuple[str, ...]:
        """Names of the values before a stage."""
        return tuple(node.name for node in self.live[number]) if number < self.num_stages else ("output",)

    def stage_module(self, number: int) -> fx.GraphModule:
        """The module of one stage."""
        graph, copies = fx.Graph(), {}
        entry = None

        def copy_of(node: fx.Node) -> fx.Node:
            if node not in copies:  # a constant, made where it is used
                copies[node] = graph.node_copy(node, copy_of)
            return copies[node]

        for node in self.live[number]:
            copies[node] = graph.placeholder(node.name)
        for node in self.live[number]:
            if number and self._is_overwritten(node, number):
                copies[node] = graph.call_method("clone", (copies[node],))
        for node in self.graph.nodes:
            if self.stages[node] != number or node.op in ("placeholder", "output"):
                continue
            copies[node] = graph.node_copy(node, copy_of)
            if entry is None and node.op == "call_module" and _has_parameters(self.model, node.target):
                entry = copies[node]
        if number == self.num_stages - 1:
            result = fx.map_arg(self.output.args[0], copy_of)
            values = (result,)
        else:
            values = tuple(copy_of(node) for node in self.live[number + 1])
        graph.output((values, entry if number == 0 else None))
        graph.lint()
        return fx.GraphModule(self.model, graph, f"Stage{number}")

    def _is_overwritten(self, node: fx.Node, number: int) -> bool:
        """Something on this stage may write into a value that came from another one."""
        for user in node.users:
            if self.stages[user] != number:
                continue
            if user.op == "call_module":
                module = self.model.get_submodule(user.target)
                if any(getattr(part, "inplace", False) for part in module.modules()):
                    return True
            elif user.op == "call_method" and user.target.endswith("_") and not user.target.endswith("__"):
                return True
            elif user.kwargs.get("inplace") or user.target in IN_PLACE:
                return True
        return False


def _has_parameters(model: nn.Module, name: str) -> bool:
    return any(p.requires_grad for p in model.get_submodule(name).parameters())


def _check_buffers(stages: Sequence[Stage]) -> None:
    """Buffers, such as running statistics, belong to one stage."""
    owner: dict[str, int] = {}
    for stage in stages:
        for name in stage.buffers:
            if owner.setdefault(name, stage.number) != stage.number:
                raise UsageError(
                    f"the buffer {name!r} is used on the stages {owner[name]} and {stage.number}: a module that keeps "
                    "statistics lies on one stage. Cut the model elsewhere."
                )


__all__ = ["CutModel", "Stage", "cut", "even_stages"]
