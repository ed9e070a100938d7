"""No stage waits.

status: incorrect
feedback: nobody waits
"""


def bubble(orders, forward_s, backward_s, message_s):
    num_microbatches, p = len(orders[0]) // 2, len(orders)
    work = [num_microbatches * (f + b) for f, b in zip(forward_s, backward_s)]
    return [max(work), 1 - sum(work) / (max(work) * p)]
