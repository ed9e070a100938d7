"""Chunks of one iteration, whatever they cost.

status: incorrect
feedback: costs more than it gains
"""

def choose_schedule(costs_s, num_threads, chunk_s):
    return 'dynamic'
