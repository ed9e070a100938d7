"""Static where all iterations are equal, else guided.

status: incorrect
feedback: where the long iterations come first
"""

def choose_schedule(costs_s, num_threads, chunk_s):
    if len(costs_s) == 0 or costs_s.max() <= 1.2 * costs_s.min():
        return 'static'
    return 'guided'
