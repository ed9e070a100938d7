"""All forwards, then all backwards in their order.

status: incorrect
feedback: that is gpipe
"""


def one_f_one_b(num_stages, num_microbatches, stage):
    order = [f"F{j}" for j in range(num_microbatches)]
    return order + [f"B{j}" for j in range(num_microbatches)]
