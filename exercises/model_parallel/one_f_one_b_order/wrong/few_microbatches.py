"""Nobody has thought of fewer micro-batches than stages.

status: incorrect
feedback: do not exist
"""


def one_f_one_b(num_stages, num_microbatches, stage):
    ahead = num_stages - 1 - stage
    order = [f"F{j}" for j in range(ahead)]
    for j in range(num_microbatches - ahead):
        order += [f"F{j + ahead}", f"B{j}"]
    return order + [f"B{j}" for j in range(max(num_microbatches - ahead, 0), num_microbatches)]
