"""Every partition.

status: timed out
feedback: do not try all partitions
"""

from itertools import combinations, pairwise


def partition_chain(seconds, links, num_stages):
    n, link = len(seconds), [0.0, *links, 0.0]

    def slowest(bounds):
        return max(sum(seconds[a:b]) + link[a] + link[b] for a, b in pairwise(bounds))

    return list(min(((0, *cuts, n) for cuts in combinations(range(1, n), num_stages - 1)), key=slowest))
