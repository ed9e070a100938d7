"""The backward first in each turn.

status: incorrect
feedback: forward comes first
"""


def one_f_one_b(num_stages, num_microbatches, stage):
    ahead = min(num_stages - 1 - stage, num_microbatches)
    if ahead == 0:
        return [f"{kind}{j}" for j in range(num_microbatches) for kind in "FB"]
    order = [f"F{j}" for j in range(ahead)]
    for j in range(num_microbatches):
        order.append(f"B{j}")
        if j + ahead < num_microbatches:
            order.append(f"F{j + ahead}")
    return order
