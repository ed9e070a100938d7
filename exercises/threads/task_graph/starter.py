import math

import numba
import numpy as np

from labkit.openmp.tasks import task, task_depend, taskwait


@numba.njit
def factor(a, k, block):
    """Block (k, k) becomes its Cholesky factor."""
    o = k * block
    for c in range(block):
        value = a[o + c, o + c]
        for q in range(c):
            value -= a[o + c, o + q] * a[o + c, o + q]
        diagonal = math.sqrt(value)
        a[o + c, o + c] = diagonal
        for r in range(c + 1, block):
            value = a[o + r, o + c]
            for q in range(c):
                value -= a[o + r, o + q] * a[o + c, o + q]
            a[o + r, o + c] = value / diagonal


@numba.njit
def solve(a, i, k, block):
    """Block (i, k) becomes its part of the factor; reads block (k, k)."""
    o, u = i * block, k * block
    for r in range(block):
        for c in range(block):
            value = a[o + r, u + c]
            for q in range(c):
                value -= a[o + r, u + q] * a[u + c, u + q]
            a[o + r, u + c] = value / a[u + c, u + c]


@numba.njit
def update(a, i, j, k, block):
    """Block (i, j) loses what comes from column k of blocks; reads blocks (i, k) and (j, k)."""
    o, v, u = i * block, j * block, k * block
    for r in range(block):
        for c in range(r + 1 if i == j else block):
            value = a[o + r, v + c]
            for q in range(block):
                value -= a[o + r, u + q] * a[v + c, u + q]
            a[o + r, v + c] = value


@numba.njit
def plan(team, a, block, tokens):
    """Makes all tasks. Here nothing orders them: any may run at any time."""
    num_blocks = a.shape[0] // block
    for k in range(num_blocks):
        task(team, factor, (a, k, block))
        for i in range(k + 1, num_blocks):
            task(team, solve, (a, i, k, block))
        for j in range(k + 1, num_blocks):
            for i in range(j, num_blocks):
                task(team, update, (a, i, j, k, block))


def cholesky(team, a, block):
    """The Cholesky factor of a symmetric positive definite matrix, by tasks on its blocks.

    Parameters
    ----------
    team : Team
        ``team.tasks(root, ...)`` runs ``root(team, ...)`` on one thread, and its tasks on all.
    a : array of float64, shape (n, n)
        Its lower triangle is replaced by the factor; what is above the diagonal stays.
    block : int
        Rows of a block; n is a multiple of it.
    """
    num_blocks = a.shape[0] // block
    tokens = np.zeros(num_blocks * num_blocks, np.int8)
    team.tasks(plan, a, block, tokens)
