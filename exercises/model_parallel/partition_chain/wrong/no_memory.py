"""The recursion without a table.

status: timed out
feedback: keep it in a table
"""


def partition_chain(seconds, links, num_stages):
    n, link = len(seconds), [0.0, *links, 0.0]

    def best(k, j):
        if k == 0:
            return (0.0, [0]) if j == 0 else (float("inf"), [0])
        found = (float("inf"), [0] * (k + 1))
        for i in range(k - 1, j):
            before, bounds = best(k - 1, i)
            slowest = max(before, sum(seconds[i:j]) + link[i] + link[j])
            if slowest < found[0]:
                found = slowest, [*bounds, j]
        return found

    return best(num_stages, n)[1]
