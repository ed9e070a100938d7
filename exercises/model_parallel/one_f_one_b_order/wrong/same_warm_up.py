"""Every stage begins like stage 0.

status: incorrect
feedback: warm-up of stage 0
"""


def one_f_one_b(num_stages, num_microbatches, stage):
    ahead = min(num_stages - 1, num_microbatches)
    order = [f"F{j}" for j in range(ahead)]
    for j in range(num_microbatches):
        if j + ahead < num_microbatches:
            order.append(f"F{j + ahead}")
        order.append(f"B{j}")
    return order
