"""Requests that are freed, fail, or have nothing to wait for, and buffered sends: as with mpi4py."""

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import Simulation, simulate
from labkit.errors import RankFailedError

ROOM = np.zeros(4)


def room():
    return np.zeros(4)


def freed_receives(comm):
    """Receives whose requests are freed at once are filled all the same, each with its own message."""
    rank, other = comm.rank, (comm.rank + 1) % comm.size
    rooms = [np.zeros(2) for _ in range(3)]
    for tag, room in enumerate(rooms):
        request = comm.Irecv(room, (rank - 1) % comm.size, tag)
        request.Free()
        assert request == MPI.REQUEST_NULL and not request and request.Test()
        refused(request.Free)
    comm.Barrier()
    for tag in (2, 0, 1):
        comm.Send(np.full(2, 1.0 + tag), other, tag)
    comm.Barrier()
    return [room.tolist() for room in rooms]


def refused(call):
    with pytest.raises(MPI.Exception) as caught:
        call()
    assert caught.value.Get_error_class() == MPI.ERR_REQUEST


@pytest.mark.parametrize("eager_limit_bytes", [0, 1000])
def test_a_receive_whose_request_is_freed_is_filled_as_with_mpi4py(eager_limit_bytes):
    expected = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    network = alpha_beta(1e-6, 1e-9, eager_limit_bytes=eager_limit_bytes)
    for num_ranks in (2, 3):
        run = simulate(num_ranks, freed_receives, network=network)
        assert run.results == [expected] * num_ranks
        assert (run.left_over, run.num_unreceived) == ({}, 0)
        assert run.counts.num_messages == sum(rank.num_received for rank in run_ranks(num_ranks, network))
    assert freed_receives(MPI.COMM_SELF) == expected


def run_ranks(num_ranks, network):
    simulation = Simulation(num_ranks, network=network)
    simulation.run(freed_receives)
    return simulation.world.ranks


def test_a_freed_receive_that_cannot_be_filled_is_the_failure_of_its_rank():
    def main(comm):
        if comm.rank == 0:
            comm.Irecv(np.zeros(1), 1).Free()
        else:
            comm.Send(room(), 0)
        comm.Barrier()

    with pytest.raises(RankFailedError, match=r"(?s)^rank 0 raised MPIError.*room for 8"):
        simulate(2, main)


def test_a_freed_persistent_request_does_not_start():
    def main(comm):
        data = np.arange(4.0)
        for request in (comm.Recv_init(room(), MPI.PROC_NULL), comm.Send_init(data, MPI.PROC_NULL)):
            request.Free()
            refused(request.Start)
            refused(request.Free)
            refused(lambda: MPI.Prequest.Startall([request]))
        got = room()
        receive, send = comm.Recv_init(got, 1 - comm.rank), comm.Send_init(data, 1 - comm.rank)
        for request in (receive, send):
            request.Start()
            request.Free()  # its communication goes on
        comm.Barrier()
        return got.tolist()

    for limit in (0, 1000):
        assert simulate(2, main, network=alpha_beta(1e-6, 1e-9, eager_limit_bytes=limit)).results == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("family", ["Waitall", "Testall", "Waitsome", "Testsome"])
def test_a_message_that_is_too_long_leaves_the_others_complete_as_with_mpi4py(family):
    def main(comm):
        rooms = [np.zeros(3), np.zeros(3), np.zeros(3)]
        receives = [comm.Irecv(part, comm.rank, tag) for tag, part in enumerate(rooms)]
        sends = [comm.Isend(np.ones(n), comm.rank, tag) for tag, n in enumerate((3, 4, 3))]
        comm.Barrier()
        for _ in range(100):  # until all are there
            comm.Iprobe(comm.rank, 9)
        with pytest.raises(MPI.Exception) as caught:
            getattr(MPI.Request, family)(receives)
        MPI.Request.Waitall(sends)
        return [rooms[0].tolist(), rooms[2].tolist()], [r == MPI.REQUEST_NULL for r in receives], str(caught.value)

    own = MPI.COMM_SELF.Dup()
    own.Set_errhandler(MPI.ERRORS_RETURN)
    filled, over, words = simulate(1, main).results[0]
    assert "tag 1 has 32 bytes, the receive buffer room for 24" in words
    assert (filled, over) == main(own)[:2] == ([[1.0] * 3] * 2, [True] * 3)


@pytest.mark.parametrize("trace", [False, True])
def test_nothing_replaced_by_nothing(trace):
    def main(comm):
        assert comm.Send(None, MPI.PROC_NULL) is None and comm.Bsend("text", MPI.PROC_NULL) is None
        return comm.Sendrecv_replace(None, MPI.PROC_NULL, source=MPI.PROC_NULL)

    assert simulate(2, main, trace=trace).results == [None, main(MPI.COMM_SELF)]


def test_a_buffered_send_needs_a_buffer_as_with_mpi4py():
    def main(comm):
        def error_class(call):
            try:
                call()
            except MPI.Exception as error:
                return error.Get_error_class()

        data = np.ones(50)
        calls = [lambda: comm.Bsend(data, comm.rank), lambda: comm.bsend(1, comm.rank), lambda: comm.Ibsend(data, comm.rank),
                 lambda: comm.ibsend(1, comm.rank), lambda: comm.Bsend_init(data, comm.rank).Start()]
        found = [error_class(call) for call in calls]
        comm.Bsend(data, MPI.PROC_NULL)
        MPI.Attach_buffer(np.empty(400 + MPI.BSEND_OVERHEAD, np.uint8))
        found.append(error_class(lambda: comm.Bsend(np.ones(100), comm.rank)))
        comm.Bsend(data, comm.rank)
        comm.Recv(got := np.zeros(50), comm.rank)
        MPI.Detach_buffer()
        return found, got.sum()

    own = MPI.COMM_SELF.Dup()
    own.Set_errhandler(MPI.ERRORS_RETURN)
    assert simulate(2, main).results == [main(own)] * 2 == [([MPI.ERR_BUFFER] * 6, 50.0)] * 2
    with pytest.raises(RankFailedError, match=r"Bsend: 32 bytes .* it has 0: call MPI.Attach_buffer"):
        simulate(1, lambda comm: comm.Bsend(ROOM, 0))
