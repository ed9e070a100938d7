"""An object of labkit instead of a text.

status: incorrect
feedback: Return the schedule as a text
"""

from labkit.openmp.schedule import Schedule


def choose_schedule(costs_s, num_threads, chunk_s):
    return Schedule('dynamic', 16)
