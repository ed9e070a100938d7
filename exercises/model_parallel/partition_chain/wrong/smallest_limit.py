"""The smallest limit that stages filled greedily keep: right only if a longer stage always costs more.

status: incorrect
feedback: filled one after the other
"""


def partition_chain(seconds, links, num_stages):
    n, link = len(seconds), [0.0, *links, 0.0]

    def filled(limit):
        bounds = [0]
        while bounds[-1] < n:
            a = bounds[-1]
            b = a + 1
            while b < n and sum(seconds[a : b + 1]) + link[a] + link[b + 1] <= limit:
                b += 1
            if sum(seconds[a:b]) + link[a] + link[b] > limit:
                return None
            bounds.append(b)
        while len(bounds) - 1 < num_stages:  # too few: split the longest stages
            k = max(range(len(bounds) - 1), key=lambda k: bounds[k + 1] - bounds[k])
            bounds.insert(k + 1, bounds[k] + 1)
        return bounds if len(bounds) - 1 == num_stages else None

    low, high = 0.0, sum(seconds) + 2 * sum(links) + 1
    best = None
    for _ in range(60):
        middle = (low + high) / 2
        found = filled(middle)
        low, high, best = (low, middle, found) if found else (middle, high, best)
    return best or list(range(num_stages)) + [n]
