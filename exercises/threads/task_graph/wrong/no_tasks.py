"""The plan calls the functions itself, one after the other.

status: over budget
feedback: One after the other
"""

import math

import numba
import numpy as np


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
    n = a.shape[0] // block
    for k in range(n):
        factor(a, k, block)
        for i in range(k + 1, n):
            solve(a, i, k, block)
        for j in range(k + 1, n):
            for i in range(j, n):
                update(a, i, j, k, block)


def cholesky(team, a, block):
    num_blocks = a.shape[0] // block
    tokens = np.zeros(num_blocks * num_blocks, np.int8)
    team.tasks(plan, a, block, tokens)
