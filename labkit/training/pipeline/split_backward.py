"""Backward in two parts: the gradient of a stage's input now (B), the gradients of its weights later (W).

The stage before waits for B; nobody but the optimizer waits for W. So schedules without bubbles put W where a rank
would wait otherwise.

Autograd computes what it is asked for: with the stage's inputs as the only goals, the node of a matrix product
``y = x w`` computes ``dy w'`` and leaves ``x' dy`` out. What W then needs is the ``dy`` of every node that has weights
below it. So B looks through the graph once::

    *activation nodes*     those from which the stage's input can be reached
    *boundary nodes*       activation nodes with an edge to something else, which can only be weights

It notes the gradient that comes into each boundary node, and W starts at each of them with these gradients and the
weights just below as goals. No product is computed twice. The graph stays until W has used it, with all that it saved.

A stage without an input that wants a gradient, such as the first one with its tokens, has no activation nodes. Its
*entry*, the result of the first layer with weights (a recurrent layer gives several tensors), stands in for the input:
nobody needs its gradient but W.

A weight that several boundary nodes have below them (a layer used twice within one stage) would be counted again by
those above. Its gradient is computed in a backward pass of its own: right, and not split.

PyTorch's ``torch.distributed.pipelining`` splits by the same idea (its ``_backward.py``, 2024).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch.autograd.graph import GradientEdge, Node

from labkit.training.partition.flow import tensors_in

Gradients = list[torch.Tensor | None]


def backward(outputs: Sequence[torch.Tensor], gradients: Sequence, inputs: Sequence[torch.Tensor]) -> Gradients:
    """Both parts at once: gradients are added to those of the weights, and those of the inputs returned.

    Parameters
    ----------
    outputs : sequence of torch.Tensor
        Of the stage. Those that depend on nothing that is trained are passed over.
    gradients : sequence of torch.Tensor or None
        Of the loss by each output; None for a loss itself.
    inputs : sequence of torch.Tensor
        Leaves; those with ``requires_grad`` get a gradient.

    Returns
    -------
    list of torch.Tensor or None
        By input; None where no output depends on it.

    Examples
    --------
    >>> layer, x = torch.nn.Linear(2, 1, bias=False), torch.ones(1, 2, requires_grad=True)
    >>> found = backward([layer(x)], [torch.ones(1, 1)], [x])
    >>> bool((found[0] == layer.weight).all()), layer.weight.grad.tolist()
    (True, [[1.0, 1.0]])
    """
    roots = _roots(outputs, gradients)
    for value in inputs:
        value.grad = None
    if roots:
        torch.autograd.backward([root for root, _ in roots], [gradient for _, gradient in roots])
    found = [value.grad for value in inputs]
    for value in inputs:
        value.grad = None
    return found


def backward_input(
    outputs: Sequence[torch.Tensor], gradients: Sequence, inputs: Sequence[torch.Tensor], entry=None,
) -> tuple[Gradients, WeightGradients]:
    """B: the gradients of the inputs, and what is left to do.

    Parameters
    ----------
    outputs, gradients, inputs
        As for :func:`backward`.
    entry : optional
        A tensor, or tensors in tuples, lists and dicts; they stand in for the inputs where none wants a gradient.

    Returns
    -------
    tuple
        The gradients by input, and W: call its :meth:`WeightGradients.add`.

    Examples
    --------
    >>> layer, x = torch.nn.Linear(2, 1, bias=False), torch.ones(1, 2, requires_grad=True)
    >>> found, later = backward_input([layer(x)], [torch.ones(1, 1)], [x])
    >>> bool((found[0] == layer.weight).all()), layer.weight.grad
    (True, None)
    >>> _ = later.add()
    >>> layer.weight.grad.tolist()
    [[1.0, 1.0]]
    """
    roots = _roots(outputs, gradients)
    goals = [value for value in inputs if value.requires_grad]
    if not goals:
        goals = list({id(value): value for value in tensors_in(entry) if value.requires_grad}.values())
    later = WeightGradients(roots)
    if not roots or not goals:
        later.from_roots()
        return [None] * len(inputs), later
    later.look(goals)
    found = torch.autograd.grad(
        [root for root, _ in roots], goals, [gradient for _, gradient in roots], retain_graph=True, allow_unused=True
    )
    by_goal = {id(value): gradient for value, gradient in zip(goals, found, strict=True)}
    later.end_look(by_goal)
    return [by_goal.get(id(value)) for value in inputs], later


class WeightGradients:
    """W: where to start in the graph, with which gradients, and the weights to reach from there."""

    def __init__(self, roots: list[tuple[torch.Tensor, torch.Tensor]]):
        self.roots = roots
        self.starts: list[tuple[list[GradientEdge], list[torch.Tensor], list[torch.Tensor]]] = []

    def add(self) -> set[int]:
        """Add the gradients of the weights to those that are there. Once: the graph is let go of.

        Returns
        -------
        set of int
            Identities of the weights that have got one.
        """
        reached = set()
        counts = Counter(id(weight) for _, _, weights in self.starts for weight in weights)
        again: dict[int, torch.Tensor] = {}
        jobs = []
        for edges, gradients, weights in self.starts:
            again |= {id(weight): weight for weight in weights if counts[id(weight)] > 1}
            jobs.append((edges, gradients, [weight for weight in weights if counts[id(weight)] == 1]))
        jobs.append((*self._root_edges(), list(again.values())))
        for edges, gradients, weights in jobs:
            if weights:
                found = torch.autograd.grad(edges, weights, gradients, retain_graph=True, allow_unused=True)
                for weight, gradient in zip(weights, found, strict=True):
                    if gradient is not None:
                        reached.add(id(weight))
                        _add(weight, gradient)
        self.roots, self.starts = [], []
        return reached

    def from_roots(self) -> None:
        """Nothing was done before: W is the whole backward pass."""
        edges, gradients = self._root_edges()
        self.starts = [(edges, gradients, _leaves_below([edge.node for edge in edges]))]

    def _root_edges(self) -> tuple[list[GradientEdge], list[torch.Tensor]]:
        return [_edge(root) for root, _ in self.roots], [gradient for _, gradient in self.roots]

    # -- the walk through the graph --------------------------------------------------------------

    def look(self, goals: Sequence[torch.Tensor]) -> None:
        """Find the boundary, and note there what comes in."""
        ends = {_edge(goal).node for goal in goals}
        self._entries = [goal for goal in goals if goal.grad_fn is not None]
        is_activation = _nodes_that_reach(ends, [_edge(root).node for root, _ in self.roots])
        self._watched: list[tuple[Node, list, list[torch.Tensor]]] = []
        self._handles = []
        for node, reaches in is_activation.items():
            if reaches and node not in ends:
                below = [child for child, _ in node.next_functions if child is not None and not is_activation[child]]
                if below:
                    box: list = []
                    self._handles.append(node.register_prehook(box.append))
                    self._watched.append((node, box, _leaves_below(below)))
        for root, gradient in self.roots:
            edge = _edge(root)
            if not is_activation[edge.node]:
                self.starts.append(([edge], [gradient], _leaves_below([edge.node])))

    def end_look(self, found: dict[int, torch.Tensor | None]) -> None:
        """What has come in."""
        for handle in self._handles:
            handle.remove()
        for node, box, weights in self._watched:
            came = [(GradientEdge(node, k), g) for k, g in enumerate(box[0] if box else ()) if g is not None]
            if came:
                self.starts.append(([edge for edge, _ in came], [g for _, g in came], weights))
        for entry in self._entries:
            if found[id(entry)] is not None:
                edge = _edge(entry)
                self.starts.append(([edge], [found[id(entry)]], _leaves_below([edge.node])))
        del self._watched, self._handles, self._entries


def _roots(outputs, gradients) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [
        (value, torch.ones_like(value) if gradient is None else gradient)
        for value, gradient in zip(outputs, gradients, strict=True) if torch.is_tensor(value) and value.requires_grad
    ]


def _edge(value: torch.Tensor) -> GradientEdge:
    return torch.autograd.graph.get_gradient_edge(value)


def _nodes_that_reach(ends: set[Node], roots: Sequence[Node]) -> dict[Node, bool]:
    """Every node below ``roots``, and whether one of ``ends`` can be reached from it."""
    reaches: dict[Node, bool] = {}
    stack = [(root, False) for root in roots]
    while stack:
        node, is_left = stack.pop()
        if is_left:  # all below are known
            reaches[node] = node in ends or any(reaches[c] for c, _ in node.next_functions if c is not None)
        elif node not in reaches:
            reaches[node] = node in ends
            stack.append((node, True))
            stack += [(child, False) for child, _ in node.next_functions if child is not None and child not in reaches]
    return reaches


def _leaves_below(nodes: Sequence[Node]) -> list[torch.Tensor]:
    """The leaves that gradients of these nodes go to, in the order in which they are met."""
    seen, leaves, stack = set(), [], list(reversed(nodes))
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        stack += [child for child, _ in reversed(node.next_functions) if child is not None]
    return leaves


def _add(weight: torch.Tensor, gradient: torch.Tensor) -> None:
    with torch.no_grad():
        if weight.grad is None:
            weight.grad = gradient.clone()
        else:
            weight.grad += gradient
