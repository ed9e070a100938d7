"""Ranks that look again and again: when they are stuck, and when they are not."""

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.simulated.run import Simulation, simulate
from labkit.errors import DeadlockError

ROOM = np.zeros(4)


def room():
    return np.zeros(4)


def test_polling_ends_when_a_busy_rank_sends_at_last():
    def main(comm):
        if comm.rank == 1:
            for dest, tag in ((0, 8), (0, 7), (2, 8), (2, 7)):
                comm.charge_compute(10.0)
                comm.Send(ROOM, dest, tag)
            return 0
        requests, num_done = [comm.Irecv(room(), 1, tag) for tag in (7, 8)], 0
        while num_done < 2:
            num_done += len(MPI.Request.Testsome(requests))
        return round(comm.me.now, 3)

    assert simulate(3, main).results == [20.0, 0, 40.0]


def test_a_poller_that_gives_up_frees_the_others():
    def main(comm):
        if comm.rank == 0:
            while not comm.Iprobe(1):
                pass
            return comm.recv(source=1)
        for _ in range(2_000_000):
            if comm.Iprobe(0):
                break
        else:
            comm.send("gave up", 0)

    with pytest.raises(DeadlockError):  # more looks than anybody waits for
        simulate(2, main)
    main.__code__ = main.__code__.replace(co_consts=tuple(20_000 if c == 2_000_000 else c for c in main.__code__.co_consts))
    assert simulate(2, main).results[0] == "gave up"


@pytest.mark.parametrize("compute_s", [0, 1e-6])
@pytest.mark.parametrize("num_looking", [1, 3])
def test_ranks_that_look_in_vain_some_thousand_times_are_not_stuck(num_looking, compute_s):
    def main(comm):
        last = comm.size - 1
        if comm.rank == last:
            for source in range(last):
                comm.Recv(room(), source)
            return
        for _ in range(5000):
            assert not comm.Iprobe(source=last)
            if compute_s:
                comm.charge_compute(compute_s)
        comm.Send(room(), last)

    assert simulate(num_looking + 1, main).time_s == pytest.approx(5000 * (1e-7 + compute_s), rel=1e-2 if compute_s else 1)


def test_ranks_that_look_are_not_stuck_while_one_computes():
    def main(comm):
        if comm.rank == 2:
            for _ in range(200):
                comm.charge_compute(10.0)
            for source in range(2):
                comm.Recv(room(), source)
            return
        while MPI.Wtime() < 1500.0:
            assert not comm.Iprobe(2)
        comm.Send(room(), 2)

    simulation = Simulation(3)
    simulation.world.hopeless_polls = 1000
    simulation.run(main)
    assert simulation.outcome().time_s == pytest.approx(2000)


@pytest.mark.parametrize("num_ranks, num_working", [(1, 1), (2, 1), (3, 3)])
def test_a_rank_that_looks_and_computes_for_ever_is_stuck(num_ranks, num_working):
    def main(comm):
        while not comm.Iprobe(source=comm.size - 1, tag=3):
            if comm.rank < num_working:
                comm.charge_compute(1e-6)

    with pytest.raises(DeadlockError, match="ranks? 0.* waits? in Iprobe"):
        simulate(num_ranks, main)
