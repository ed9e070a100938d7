"""A forward before each backward, to the end.

status: incorrect
feedback: do not exist
"""


def one_f_one_b(num_stages, num_microbatches, stage):
    ahead = min(num_stages - 1 - stage, num_microbatches)
    order = [f"F{j}" for j in range(ahead)]
    for j in range(num_microbatches):
        order += [f"F{j + ahead}", f"B{j}"]
    return order
