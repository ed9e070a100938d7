"""Full batches wait as well.

status: incorrect
feedback: full starts at once
"""

def dynamic_batcher(arrivals_us, max_batch, max_wait_us, fixed_us, row_us):
    batches, first, free_us = [], 0, 0
    while first < len(arrivals_us):
        start_us = max(free_us, arrivals_us[first] + max_wait_us)
        count = 0
        while count < max_batch and first + count < len(arrivals_us) and arrivals_us[first + count] <= start_us:
            count += 1
        batches.append((start_us, count))
        first, free_us = first + count, start_us + fixed_us + count * row_us
    return batches
