"""Reduce trees: in which order the partial sums of p ranks are combined.

A tree is a rank number, or a pair of trees: ``((0, 1), (2, 3))`` is what a binomial tree computes, ``(((0, 1), 2), 3)``
what a loop over the ranks does. Addition commutes, so which of a pair stands on the left changes no bit; which pairs
there are, does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labkit.errors import UsageError
from labkit.floating_point.summation.arguments import check_count

MOST_RANKS = 4096
Tree = int | tuple


def _chain(ranks: Sequence[Tree]) -> Tree:
    tree = ranks[0]
    for rank in ranks[1:]:
        tree = (tree, rank)
    return tree


def _folded(num_ranks: int) -> list[Tree]:
    """What the largest power of two up to p acts on: neighbours among the first ranks are paired before."""
    num_acting = 1 << (num_ranks.bit_length() - 1)
    rest = num_ranks - num_acting
    return [(2 * k, 2 * k + 1) for k in range(rest)] + list(range(2 * rest, num_ranks))


def _binomial(num_ranks: int, block: int) -> Tree:
    trees: list[Tree] = list(range(num_ranks))
    while len(trees) > 1:
        pairs = list(zip(trees[::2], trees[1::2], strict=False))
        trees = pairs + trees[2 * len(pairs) :]
    return trees[0]


def _recursive_doubling(num_ranks: int, block: int) -> Tree:
    trees = _folded(num_ranks)
    while len(trees) > 1:
        trees = list(zip(trees[::2], trees[1::2], strict=True))
    return trees[0]


def _rabenseifner(num_ranks: int, block: int) -> Tree:
    trees = _folded(num_ranks)
    while len(trees) > 1:  # the most distant partners first
        half = len(trees) // 2
        trees = list(zip(trees[:half], trees[half:], strict=True))
    return trees[0]


TREES: dict[str, Callable[[int, int], Tree]] = {
    "flat": lambda num_ranks, block: _chain(range(num_ranks)),
    "binomial": _binomial,
    "recursive_doubling": _recursive_doubling,
    "rabenseifner": _rabenseifner,
    "ring": lambda num_ranks, block: _chain([(block + k) % num_ranks for k in range(num_ranks)]),
}
# The collectives that combine in the order of these trees
COLLECTIVES = {
    "flat": "reduce_flat", "binomial": "reduce_binomial", "recursive_doubling": "allreduce_recursive_doubling",
    "rabenseifner": "allreduce_rabenseifner", "ring": "allreduce_ring",
}


def reduce_tree(name: str, num_ranks: int, *, block: int = 0) -> Tree:
    """In which order an algorithm combines the contributions of the ranks.

    Parameters
    ----------
    name : str
        ``flat``, ``binomial``, ``recursive_doubling``, ``rabenseifner`` or ``ring``.
    num_ranks : int
        1 to 4096.
    block : int
        Which block of the vector the element lies in, of as many as ranks: each block goes around a ring from another
        rank on. The other trees are the same for all blocks.

    Returns
    -------
    int or tuple
        A rank, or a pair of trees.

    Raises
    ------
    UsageError
        No such tree, or numbers out of range.

    Examples
    --------
    >>> reduce_tree("binomial", 5), reduce_tree("recursive_doubling", 5)
    ((((0, 1), (2, 3)), 4), (((0, 1), 2), (3, 4)))
    >>> reduce_tree("rabenseifner", 4), reduce_tree("ring", 4, block=2)
    (((0, 2), (1, 3)), (((2, 3), 0), 1))
    """
    if name not in TREES:
        raise UsageError(f"reduce_tree: one of {', '.join(TREES)}, not {name!r}: pass one of them.")
    num_ranks = check_count("reduce_tree", "num_ranks", num_ranks, 1, MOST_RANKS)
    return TREES[name](num_ranks, check_count("reduce_tree", "block", block, 0, num_ranks - 1))


def evaluate_tree(tree: Tree, values: Sequence):
    """Combine the values of the ranks as a tree says, rounding as the values' type does.

    Examples
    --------
    >>> values = [1.0, 1e100, 1.0, -1e100]
    >>> evaluate_tree(((0, 1), (2, 3)), values), evaluate_tree(((0, 2), (1, 3)), values)
    (0.0, 2.0)
    """
    return fold_tree(tree, lambda rank: values[rank], lambda node, left, right: left + right)


def fold_tree(tree: Tree, of_rank: Callable, of_pair: Callable):
    """What ``of_pair(node, left, right)`` makes of a tree, from what ``of_rank`` gives for the ranks, left to right.

    Examples
    --------
    >>> fold_tree(((0, 1), 2), str, lambda node, left, right: f"[{left} {right}]")
    '[[0 1] 2]'
    """
    done: list = []  # without recursion: the tree of a ring is as deep as there are ranks
    waiting: list = [(tree, False)]
    while waiting:
        node, is_ready = waiting.pop()
        if not isinstance(node, tuple):
            done.append(of_rank(node))
        elif is_ready:
            right = done.pop()
            done.append(of_pair(node, done.pop(), right))
        else:
            waiting += [(node, True), (node[1], False), (node[0], False)]
    return done[0]
