"""All kinds with all powers of two as chunk sizes, on the costs of the last step."""

from labkit.openmp.simulate import simulate_schedule


def choose_schedule(costs_s, num_threads, chunk_s):
    sizes = [2**k for k in range(max(len(costs_s), 1).bit_length())]
    candidates = ["static"] + [f"{kind},{size}" for size in sizes for kind in ("static", "guided", "dynamic")]

    def time_s(schedule):
        return simulate_schedule(schedule, costs_s, num_threads, chunk_s=chunk_s).duration_s

    return min(candidates, key=time_s)
