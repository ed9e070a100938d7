"""A block a thread, whatever the costs.

status: incorrect
feedback: not equally long
"""

def choose_schedule(costs_s, num_threads, chunk_s):
    return 'static'
