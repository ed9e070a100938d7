"""The merges of online softmax: states (m, d) of single logits become the state of all, in pairs or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.softmax.online import merge, merge_tree, state
from labkit.views.theme import ACCENT, INK, KIND_COLOURS, base_layout

MOST_LEAVES = 16
ORDER_WORDS = {"pairs": "in pairs", "one by one": "one by one"}
ORDERS = tuple(ORDER_WORDS)
EQUAL_FILL, EQUAL_LINE = "#dcecf7", KIND_COLOURS["send"]
SCALED_FILL, SCALED_LINE = "#fbe3d2", KIND_COLOURS["window"]
MOST_TREE_HEIGHT = 560  # pixels


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A state in the tree: its level from the leaves, its place across, (m, d), and the nodes it was merged from."""

    level: int
    x: float
    m: float
    d: float
    parts: tuple[int, ...]


def merge_tree_layout(logits: Sequence[float], *, order: str = "pairs") -> tuple[TreeNode, ...]:
    """The states of online softmax of 1 to 16 logits: leaves first, the root last.

    Parameters
    ----------
    logits : sequence of float
    order : str
        ``"pairs"``: neighbours are merged, then neighbours of these, as threads and ranks do; ``"one by one"``: each
        logit is merged to what came before, as a loop does.

    Examples
    --------
    >>> [(node.level, node.x, node.parts) for node in merge_tree_layout([1.0, 2.0, 3.0])]
    [(0, 0.0, ()), (0, 1.0, ()), (0, 2.0, ()), (1, 0.5, (0, 1)), (1, 2.0, (2,)), (2, 1.25, (3, 4))]
    >>> [node.parts for node in merge_tree_layout([1.0, 2.0, 3.0], order="one by one")][3:]
    [(0, 1), (3, 2)]
    """
    if not 1 <= len(logits) <= MOST_LEAVES:
        raise UsageError(f"the tree shows 1 to {MOST_LEAVES} logits, not {len(logits)}: pass fewer.")
    if order not in ORDERS:
        raise UsageError(f"order: one of {', '.join(ORDERS)}, not {order!r}: pass one of these.")
    leaves = [state([value]) for value in logits]
    if order == "one by one":
        nodes = [TreeNode(0, float(k), *leaf, ()) for k, leaf in enumerate(leaves)]
        for k in range(1, len(leaves)):
            before = len(nodes) - 1 if k > 1 else 0
            m, d = merge((nodes[before].m, nodes[before].d), leaves[k])
            nodes.append(TreeNode(k, float(k), m, d, (before, k)))
        return tuple(nodes)
    nodes, below = [], []
    for level, states in enumerate(merge_tree(leaves)):
        here = []
        for k, (m, d) in enumerate(states):
            parts = tuple(below[2 * k : 2 * k + 2]) if level else ()
            x = float(np.mean([nodes[p].x for p in parts])) if parts else float(k)
            here.append(len(nodes))
            nodes.append(TreeNode(level, x, m, d, parts))
        below = here
    return tuple(nodes)


def num_merges(nodes: Sequence[TreeNode]) -> int:
    """Nodes that were merged from two.

    Examples
    --------
    >>> num_merges(merge_tree_layout([1.0] * 5))
    4
    """
    return sum(len(node.parts) == 2 for node in nodes)


def merged_at(nodes: Sequence[TreeNode]) -> tuple[int, ...]:
    """By node, after how many merges it is there: 0 for the leaves.

    Examples
    --------
    >>> merged_at(merge_tree_layout([1.0, 2.0, 3.0]))
    (0, 0, 0, 1, 1, 2)
    """
    return tuple(np.cumsum([len(node.parts) == 2 for node in nodes]).tolist())


def merge_tree_figure(logits: Sequence[float], step: int | None = None, *, order: str = "pairs") -> go.Figure:
    """The merges up to ``step``: each box is the maximum m and the sum d of exp(x - m) of the leaves below it.

    Parameters
    ----------
    logits : sequence of 1 to 16 numbers
    step : int, optional
        How many merges have been done; all by default. Others than there are count as the nearest.
    order : str
        See :func:`merge_tree_layout`.
    """
    nodes = merge_tree_layout(logits, order=order)
    depth, last = nodes[-1].level, num_merges(nodes)
    step = last if step is None else max(0, min(step, last))
    done = "all states are one" if step == last else f"{step} of {last} merges done"
    height = 190 + min(75 * depth, MOST_TREE_HEIGHT)
    title = f"<b>Online softmax</b>, states (m, d) merged {ORDER_WORDS[order]}: {done}"
    figure = go.Figure(layout=base_layout(title, height))
    shown = [at <= step for at in merged_at(nodes)]
    lines = [(node, nodes[p]) for node, seen in zip(nodes, shown, strict=True) if seen for p in node.parts]
    figure.add_trace(
        go.Scatter(
            x=[v for a, b in lines for v in (b.x, a.x, None)],
            y=[v for a, b in lines for v in (b.level, a.level, None)],
            mode="lines", line={"color": INK, "width": 1.2}, hoverinfo="skip", showlegend=False,
        )
    )
    size = 10 if len(logits) > 10 else 12
    for node, at, seen in zip(nodes, merged_at(nodes), shown, strict=True):
        if not seen:
            continue
        scaled = any(nodes[part].m != node.m for part in node.parts)
        newest = len(node.parts) == 2 and at == step
        figure.add_annotation(
            x=node.x, y=node.level, text=f"m {node.m:.4g}<br>d {node.d:.4g}", showarrow=False, align="left",
            font={"size": size, "color": "#1d1f21"}, bgcolor=SCALED_FILL if scaled else EQUAL_FILL,
            bordercolor=ACCENT if newest else SCALED_LINE if scaled else EQUAL_LINE, borderwidth=2 if newest else 1,
            borderpad=3, hovertext=_merge_words(node, nodes),
        )
    figure.update_xaxes(visible=False, range=[-0.7, len(logits) - 0.3])
    figure.update_yaxes(visible=False, range=[-0.5, depth + 0.5])
    figure.add_annotation(
        x=0, y=-0.02, xref="paper", yref="paper", showarrow=False, xanchor="left", yanchor="top",
        text="orange: parts had different maxima, the sum of one was scaled", font={"color": INK},
    )
    return figure


def merge_words(nodes: Sequence[TreeNode], step: int) -> str:
    """What the merge of that number computed; at 0 what there is before.

    Examples
    --------
    >>> merge_words(merge_tree_layout([1.0, 1.0]), 1)
    'm = max(1, 1) = 1; d = 1 exp(1 - 1) + 1 exp(1 - 1) = 2'
    """
    if step <= 0:
        return "Every logit x is a state of its own: m = x, d = exp(x - m) = 1."
    merges = [node for node in nodes if len(node.parts) == 2]
    node = merges[min(step, len(merges)) - 1]
    largest = ", ".join(f"{nodes[p].m:.4g}" for p in node.parts)
    return f"m = max({largest}) = {node.m:.4g}; {_merge_words(node, nodes)}"


def _merge_words(node: TreeNode, nodes: Sequence[TreeNode]) -> str:
    if len(node.parts) < 2:
        return "one logit" if not node.parts else "nothing to merge with"
    terms = [
        f"{nodes[p].d:.4g} exp({nodes[p].m:.4g} - {node.m:.4g})" if nodes[p].d else "0" for p in node.parts
    ]
    return f"d = {' + '.join(terms)} = {node.d:.6g}"
