"""Goes from number to number.

status: timed out
feedback: do not count the steps
"""

import math


def ulp_distance(a, b):
    found = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        steps = 0
        while x != y:
            x = math.nextafter(x, y)
            steps += 1
        found.append(steps)
    return found
