"""The sum of all stages instead of the slowest.

status: incorrect
feedback: inside the minimum stands a maximum
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
        for j in range(1, n + 1):
            for i in range(j):
                cost = total[j] - total[i] + link[i] + link[j]
                slowest = best[i] + cost
                if slowest < new[j]:
                    new[j], choice[j] = slowest, i
        best = new
        choices.append(choice)
    bounds = [n]
    for choice in reversed(choices):
        bounds.append(choice[bounds[-1]])
    return bounds[::-1]
