"""Single iterations dealt round-robin.

status: incorrect
feedback: rhythm of the costs
"""

def choose_schedule(costs_s, num_threads, chunk_s):
    return 'static,1'
