"""Equal numbers of layers.

status: incorrect
feedback: only if all layers are alike
"""


def partition_chain(seconds, links, num_stages):
    n = len(seconds)
    size, rest = divmod(n, num_stages)
    return [k * size + min(k, rest) for k in range(num_stages + 1)]
