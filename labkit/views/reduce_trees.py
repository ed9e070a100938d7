"""A picture of a reduce tree: which partial sums are added, and which additions round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.floating_point.summation.trees import Tree, fold_tree
from labkit.views.theme import ACCENT, GRID, INK, SERIES, base_layout

MOST_DRAWN_RANKS = 64


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A rank, or an addition: where it is drawn, what its two operands are (places in the list), its partial sum.

    ``depth`` is the number of additions that wait for each other up to this one, ``rounding`` the exact error of this
    addition; both sums are None where no values were given.
    """

    x: float
    depth: int
    rank: int | None
    children: tuple[int, int] | None
    value: float | None
    rounding: Fraction | None


def tree_layout(tree: Tree, values: Sequence | None = None) -> tuple[TreeNode, ...]:
    """The nodes of a reduce tree, operands before their sum, ranks side by side as they stand in the tree.

    Examples
    --------
    >>> for node in tree_layout(((0, 1), 2)):
    ...     print(node.x, node.depth, node.rank, node.children)
    0.0 0 0 None
    1.0 0 1 None
    0.5 1 None (0, 1)
    2.0 0 2 None
    1.25 2 None (2, 3)
    """
    nodes: list[TreeNode] = []
    num_ranks = 0

    def add(node: TreeNode) -> int:
        nodes.append(node)
        return len(nodes) - 1

    def rank_node(rank: int) -> int:
        nonlocal num_ranks
        num_ranks += 1
        return add(TreeNode(float(num_ranks - 1), 0, rank, None, None if values is None else values[rank], None))

    def pair_node(_, left: int, right: int) -> int:
        a, b = nodes[left], nodes[right]
        value = rounding = None
        if values is not None:
            value = a.value + b.value
            if all(map(math.isfinite, (a.value, b.value, value))):
                rounding = Fraction(float(value)) - Fraction(float(a.value)) - Fraction(float(b.value))
        return add(TreeNode((a.x + b.x) / 2, 1 + max(a.depth, b.depth), None, (left, right), value, rounding))

    fold_tree(tree, rank_node, pair_node)
    if num_ranks > MOST_DRAWN_RANKS:
        raise UsageError(
            f"tree_figure: at most {MOST_DRAWN_RANKS} ranks can be told apart, not {num_ranks}: draw a smaller tree."
        )
    return tuple(nodes)


def tree_figure(tree: Tree, values: Sequence | None = None, *, title: str = "Reduce tree") -> go.Figure:
    """A reduce tree: ranks at the bottom, every addition above its two operands, later ones higher.

    Parameters
    ----------
    tree : int or tuple
        From :func:`labkit.floating_point.summation.trees.reduce_tree`; at most 64 ranks.
    values : sequence of float, optional
        The contribution of each rank: then partial sums are told, and additions that round stand out.
    title : str

    Raises
    ------
    UsageError
        More ranks than can be told apart.
    """
    nodes = tree_layout(tree, values)
    height = nodes[-1].depth
    figure = go.Figure(layout=base_layout(_tree_title(title, nodes, values), min(160 + 60 * height, 640)))
    xs: list = []
    ys: list = []
    for node in nodes:
        for child in node.children or ():
            xs += [nodes[child].x, node.x, None]
            ys += [nodes[child].depth, node.depth, None]
    figure.add_trace(
        go.Scatter(x=xs, y=ys, mode="lines", line={"color": INK, "width": 1.5}, hoverinfo="skip", showlegend=False)
    )
    sums = [node for node in nodes if node.children]
    ranks = [node for node in nodes if not node.children]
    rounded = [node.rounding not in (None, 0) for node in sums]
    figure.add_trace(
        go.Scatter(
            x=[node.x for node in sums], y=[node.depth for node in sums], mode="markers+text", showlegend=False,
            marker={"size": 20, "color": [ACCENT if is_rounded else SERIES[0] for is_rounded in rounded]},
            text=["+"] * len(sums), textfont={"color": "white", "size": 13},
            hovertext=[_node_hover(node) for node in sums], hoverinfo="text",
        )
    )
    size = 24 if len(ranks) <= 32 else 16
    figure.add_trace(
        go.Scatter(
            x=[node.x for node in ranks], y=[0] * len(ranks), mode="markers+text", showlegend=False,
            marker={"size": size, "symbol": "square", "color": SERIES[2]}, text=[str(node.rank) for node in ranks],
            textfont={"color": "white", "size": 11 if len(ranks) <= 32 else 8},
            hovertext=[_node_hover(node) for node in ranks], hoverinfo="text",
        )
    )
    figure.update_layout(
        xaxis={"visible": False, "range": [-0.7, len(ranks) - 0.3]},
        yaxis={
            "title": {"text": "additions one after the other"}, "range": [-0.5, height + 0.5], "gridcolor": GRID,
            "dtick": max(1, height // 12),
        },
        margin={"l": 60, "r": 30, "t": 60, "b": 20},
    )
    return figure


def _tree_title(title: str, nodes: Sequence[TreeNode], values) -> str:
    num_sums = sum(node.children is not None for node in nodes)
    words = f"{title}: {num_sums} addition{'s' if num_sums != 1 else ''}, {nodes[-1].depth} one after the other"
    if values is not None:
        words += f", {sum(node.rounding not in (None, 0) for node in nodes)} of them rounded"
    return words


def _node_hover(node: TreeNode) -> str:
    words = f"<b>rank {node.rank}</b>" if node.children is None else "<b>addition</b>"
    if node.value is not None:
        words += f"<br>{float(node.value)!r}"
    if node.rounding is not None:
        words += "<br>exact" if node.rounding == 0 else f"<br>rounded by {float(node.rounding):+.3g}"
    return words
