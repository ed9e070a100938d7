"""Stages may be empty.

status: incorrect
feedback: at least one layer
"""

from itertools import accumulate


def partition_chain(seconds, links, num_stages):
    n = len(seconds)
    total = [0.0, *accumulate(seconds)]
    link = [0.0, *links, 0.0]
    best = [0.0] + [float("inf")] * n
    choices = []
    for _ in range(num_stages):
        new, choice = [float("inf")] * (n + 1), [0] * (n + 1)
        for j in range(0, n + 1):
            for i in range(j + 1):
                cost = total[j] - total[i] + link[i] + link[j]
                slowest = max(best[i], cost)
                if slowest < new[j]:
                    new[j], choice[j] = slowest, i
        best = new
        choices.append(choice)
    bounds = [n]
    for choice in reversed(choices):
        bounds.append(choice[bounds[-1]])
    return bounds[::-1]
