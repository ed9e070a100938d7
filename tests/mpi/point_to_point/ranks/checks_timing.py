"""Ping-pong, ways of sending, overlap: counts and order. Clocks here count events, so the results are exact."""

import time

import numpy as np
from helpers import Watched, equal, refused

from labkit.mpi.point_to_point import overlap, ping_pong, send_modes


def check_ping_pong_times_half_of_the_round_trips_after_the_warm_up(comm):
    if comm.size < 2:
        return
    watched = Watched(comm)
    # A clock that shows how many messages went by: a message then takes one unit, one way.
    results = ping_pong.ping_pong(
        watched, [0, 1, 300, 70_000], iterations=4, warmup=3, clock=lambda: float(len(watched.calls))
    )
    equal([(r.num_bytes, r.seconds_one_way, r.bandwidth) for r in results],
          [(0, 1.0, 0.0), (1, 1.0, 1.0), (300, 1.0, 300.0), (70_000, 1.0, 70_000.0)], "results")
    messages = [(name, size) for name, size, *_ in watched.calls if name in ("Send", "Recv")]
    first, second = ("Send", "Recv") if comm.rank == 0 else ("Recv", "Send")
    expected = [(name, size) for size in (0, 1, 300, 70_000) for _ in range(7) for name in (first, second)]
    equal(messages, expected if comm.rank < 2 else [], "messages")


def check_ping_pong_brings_back_what_was_sent(comm):
    if comm.size < 2:
        return

    class LastReceived(Watched):
        def __getattr__(self, name):
            method = super().__getattr__(name)
            if name != "Recv":
                return method

            def receive(buf, *args):
                method(buf, *args)
                self.received = buf.copy()

            return receive

    watched = LastReceived(comm)
    ping_pong.ping_pong(watched, [1000], iterations=2, warmup=0)
    if comm.rank < 2:
        equal(watched.received, (np.arange(1000) % 251).astype(np.uint8), "bytes that came back")


def check_ping_pong_real_clock_gives_equal_results_on_all_ranks(comm):
    if comm.size < 2:
        return
    results = ping_pong.ping_pong(comm, [8, 9000], effort=0.002)
    equal(comm.allgather(results), [results] * comm.size, "results of all ranks")
    assert all(r.seconds_one_way > 0 and r.bandwidth == r.num_bytes / r.seconds_one_way for r in results), results
    assert ping_pong.fit_ping_pong(results).relative_residuals


def check_ping_pong_usual_counts_are_those_of_osu(comm):
    if comm.size < 2:
        return
    watched = Watched(comm)
    ping_pong.ping_pong(watched, [8192, 8193], effort=0.01)
    sizes = [size for name, size, *_ in watched.calls if name == "Send"]
    if comm.rank < 2:
        equal((sizes.count(8192), sizes.count(8193)), (101, 11), "messages")


def check_windowed_bandwidth_keeps_a_window_in_flight(comm):
    if comm.size < 2:
        return
    for window in (1, 64):
        watched = Watched(comm)
        result = ping_pong.windowed_bandwidth(
            watched, 50, window, iterations=3, warmup=2, clock=lambda: float(watched.count("Isend"))
        )
        equal((result.num_bytes, result.seconds_one_way, result.bandwidth), (50, 1.0, 50.0), "result")
        names = [call[:2] for call in watched.calls if call[0] not in ("Barrier", "Bcast")]
        start, reply = (("Isend", 50), ("Recv", 0)) if comm.rank == 0 else (("Irecv", 50), ("Send", 0))
        equal(names, ([start] * window + [reply]) * 5 if comm.rank < 2 else [], "messages")


def check_timing_refuses_wrong_arguments(comm):
    where = f"on rank {comm.rank} of {comm.size}"
    if comm.size == 1:
        for name, call in {
            "ping_pong": lambda: ping_pong.ping_pong(comm, [1]),
            "windowed_bandwidth": lambda: ping_pong.windowed_bandwidth(comm, 1),
            "time_send_modes": lambda: send_modes.time_send_modes(comm, 1, 0.1),
            "find_eager_limit": lambda: send_modes.find_eager_limit(comm, 1),
            "measure_overlap": lambda: overlap.measure_overlap(comm, 1, 0.1, time.sleep),
        }.items():
            refused(call, name, where, "at least 2 ranks", "%%mpi -n 2")
        return
    refused(lambda: ping_pong.ping_pong(comm, [8, -1]), "ping_pong", where, "-1")
    refused(lambda: ping_pong.ping_pong(comm, [8], iterations=0), "iterations", "at least 1")
    refused(lambda: ping_pong.ping_pong(comm, [8], effort=0), "effort")
    refused(lambda: ping_pong.windowed_bandwidth(comm, 8, 0), "window", "0")
    refused(lambda: send_modes.time_send_modes(comm, 8.5, 0.1), "time_send_modes", "8.5")
    refused(lambda: send_modes.time_send_modes(comm, 8, float("inf")), "delay_s", "inf")
    refused(lambda: send_modes.find_eager_limit(comm, 8, repeats=True), "repeats", "True")
    refused(lambda: overlap.measure_overlap(comm, 8, -0.1, time.sleep), "compute_s", "-0.1")


def check_send_modes_block_as_the_standard_says(comm):
    """Who waits for the receive is seen by order: rank 1 looks whether rank 0 came back, then receives."""
    if comm.size < 2:
        return
    for num_bytes, send_returns in ((8, True), (1 << 22, False)):
        notes = comm.Dup()
        readings, returned = [], []

        def clock():
            # Readings come in threes: before the call, after it, after the wait.
            if len(readings) % 3 == 1:
                notes.isend(len(readings) // 3, 1, 5).wait()
            readings.append(0)
            return float(len(readings))

        def sleep(seconds, patience_s=0.7):
            end = time.perf_counter() + patience_s
            while not notes.Iprobe(0, 5) and time.perf_counter() < end:
                time.sleep(0.002)
            returned.append(notes.Iprobe(0, 5))
            if returned[-1]:
                notes.recv(source=0, tag=5)
            else:
                late.append(len(returned))

        late = []

        # A note that came only after the receive is taken before the next turn.
        class Tidy(Watched):
            def __getattr__(self, name):
                method = super().__getattr__(name)
                if name != "Recv":
                    return method

                def receive(buf, source, tag):
                    method(buf, source, tag)
                    if tag == send_modes.DATA_TAG and late:
                        late.pop()
                        notes.recv(source=0, tag=5)

                return receive

        tidy = Tidy(comm)
        times = send_modes.time_send_modes(tidy, num_bytes, 0.5, clock=clock, sleep=sleep)
        # Both begin a turn together, or rank 1 would still be asleep for the turn before.
        turns = [["Barrier", "Isend", name] for name in ("Send", "Ssend", "Isend", "Bsend")]
        if comm.rank == 1:
            turns = [["Barrier", "Recv", "Recv"]] * 4
        equal([call[0] for call in tidy.calls], sum(turns if comm.rank < 2 else [["Barrier"]] * 4, []) + ["Bcast"], "calls")
        if comm.rank == 1:
            equal(returned, [send_returns, False, True, True], f"returned before the receive, {num_bytes} bytes")
        equal((times.num_bytes, times.delay_s), (num_bytes, 0.5), "what was asked")
        equal((times.send_s, times.ssend_s, times.isend_s, times.isend_wait_s, times.bsend_s), (1.0,) * 5, "readings")
        notes.Free()


def check_send_modes_by_the_real_clock(comm):
    if comm.size < 2:
        return
    times = send_modes.time_send_modes(comm, 1 << 22, 0.05)
    equal(comm.allgather(times), [times] * comm.size, "times of all ranks")
    # By cause, not by speed: what waits for a receive cannot return before it is posted.
    assert times.ssend_s >= 0.05 and times.isend_s + times.isend_wait_s >= 0.05, times
    assert times.send_was_eager == (times.send_s < 0.05)


class Limited(Watched):
    """Send takes no time up to a limit, else the delay; every other Send is disturbed and takes long anyway."""

    def __init__(self, comm, limit, disturbed):
        super().__init__(comm)
        self.limit, self.disturbed, self.now, self.num_sends = limit, disturbed, 0.0, 0

    def Send(self, buf, dest, tag):
        self.num_sends += 1
        if buf.nbytes > self.limit or (self.disturbed and self.num_sends % 2):
            self.now += 0.25
        self._comm.Send(buf, dest, tag)


def check_eager_limit_is_found_to_the_byte(comm):
    if comm.size < 2:
        return
    for limit in (-1, 0, 1, 99, 100, 511, 512, 10_000):
        for disturbed in (False, True):
            limited = Limited(comm, limit, disturbed)
            found = send_modes.find_eager_limit(
                limited, 512, delay_s=0.25, repeats=2, clock=lambda: limited.now, sleep=lambda seconds: None
            )
            equal(found, None if limit < 0 else min(limit, 512), f"limit {limit}")


def check_eager_limit_of_this_mpi(comm):
    if comm.size != 2:
        return
    found = send_modes.find_eager_limit(comm, 1 << 22, delay_s=0.02, repeats=2)
    equal(comm.allgather(found), [found] * comm.size, "limit on all ranks")
    assert found is not None and 8 <= found < 1 << 22, found


def check_overlap_computes_in_parts_between_start_and_wait(comm):
    if comm.size < 2:
        return
    watched, computed = Watched(comm), []

    def compute(seconds):
        computed.append(seconds)
        watched.calls.append(("compute",))
        time.sleep(seconds)

    result = overlap.measure_overlap(watched, 5000, 0.008, compute, num_polls=3, repeats=2)
    equal(computed, [0.008, *[0.002] * 4] * 2, "computed")
    names = [call[0] for call in watched.calls]
    parts = ["compute", "Iprobe"] * 3 + ["compute"]
    turn = ["Barrier", "Irecv", "Isend", "Barrier", "compute", "Barrier", "Irecv", "Isend", *parts]
    equal(names, turn * 2, "order of calls")
    assert result.num_bytes == 5000 and result.compute_s >= 0.008 and result.both_s >= 0.008
    assert 0 <= result.share_hidden <= 1 and result.communicate_s > 0
