"""Backward of the newest micro-batch.

status: incorrect
feedback: newest micro-batch
"""


def one_f_one_b(num_stages, num_microbatches, stage):
    ahead = min(num_stages - 1 - stage, num_microbatches)
    order, waiting = [f"F{j}" for j in range(ahead)], list(range(ahead))
    for j in range(ahead, num_microbatches):
        waiting.append(j)
        order += [f"F{j}", f"B{waiting.pop()}"]
    return order + [f"B{j}" for j in reversed(waiting)]
