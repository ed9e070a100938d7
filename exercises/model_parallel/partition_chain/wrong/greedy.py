"""A stage is closed when it has its share of the whole.

status: incorrect
feedback: filled one after the other
"""


def partition_chain(seconds, links, num_stages):
    n = len(seconds)
    share = sum(seconds) / num_stages
    bounds, filled = [0], 0.0
    for i, t in enumerate(seconds):
        stages_left, layers_left = num_stages - len(bounds) + 1, n - i
        if i > bounds[-1] and stages_left > 1 and (filled + t > share or layers_left < stages_left):
            bounds.append(i)
            filled = 0.0
        if len(bounds) <= num_stages - 1 and i > bounds[-1] and n - i == num_stages - len(bounds):
            bounds.append(i)
            filled = 0.0
        filled += t
    return [*bounds, n]
