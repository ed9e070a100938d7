"""All who are there.

status: incorrect
feedback: more requests than max_batch
"""

import math


def dynamic_batcher(arrivals_us, max_batch, max_wait_us, fixed_us, row_us):
    batches, first, free_us = [], 0, 0
    while first < len(arrivals_us):
        last = first + max_batch - 1
        full_us = arrivals_us[last] if last < len(arrivals_us) else math.inf
        start_us = max(free_us, min(full_us, arrivals_us[first] + max_wait_us))
        count = 0
        while first + count < len(arrivals_us) and arrivals_us[first + count] <= start_us:
            count += 1
        batches.append((start_us, count))
        first, free_us = first + count, start_us + fixed_us + count * row_us
    return batches
