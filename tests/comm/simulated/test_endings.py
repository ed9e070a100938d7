"""How a simulation ends: verdicts, failures, what is left over."""

import gc
import threading

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.network.model import alpha_beta
from labkit.comm.network.presets import PRESETS
from labkit.comm.simulated.communicator import Aborted
from labkit.comm.simulated.run import Simulation, simulate
from labkit.errors import (
    CellInterruptedError,
    CollectiveMismatchError,
    DeadlockError,
    NotAvailableError,
    RankFailedError,
    UsageError,
)

ROOM = np.zeros(4)


def room():
    return np.zeros(4)


def waitall(comm):
    other = 1 - comm.rank
    requests = [comm.Irecv(room(), other, tag) for tag in range(3)]
    comm.Send(ROOM, other, 1)
    MPI.Request.Waitall(requests)


def poll_test(comm):
    if comm.rank == 0:
        request = comm.Irecv(room(), 1)
        while not request.Test():
            pass


def poll_some(comm):
    requests = [comm.Irecv(room(), 1 - comm.rank, tag) for tag in (1, 2)]
    while not MPI.Request.Testsome(requests):
        pass


def poll_probe(comm):
    while not comm.Iprobe(1 - comm.rank, 3):
        pass


def subset(comm):
    half = comm.Split(comm.rank % 2)
    if comm.rank % 2:
        half.Recv(room(), 1 - half.rank)


def wrong_tag(comm):
    if comm.rank == 0:
        comm.Send(ROOM, 1, 7)
    else:
        comm.Recv(room(), 0, 8)


def nonblocking_missing(comm):
    if comm.rank:
        comm.Ibarrier().Wait()


def taken_by_a_probe(comm):
    if comm.rank == 0:
        found = comm.Mprobe(1)
        comm.Recv(room(), 1)
        found.Recv(room())
    elif comm.rank == 1:
        comm.Ssend(ROOM, 0)


DEADLOCKS = {
    "head to head": (2, lambda c: c.Ssend(ROOM, 1 - c.rank), (0, 1), (0, 1),
                     ["rank 0 waits in Ssend(dest=1, tag=0)", "a cycle 0 -> 1 -> 0", "Sendrecv"]),
    "all receive": (4, lambda c: c.Recv(room(), (c.rank - 1) % 4, 5), (0, 1, 2, 3), (0, 3, 2, 1),
                    ["rank 2 waits in Recv(source=1, tag=5)", "a cycle 0 -> 3 -> 2 -> 1 -> 0", "send first"]),
    "missing member": (4, lambda c: c.Barrier() if c.rank != 2 else None, (0, 1, 3), (),
                       ["ranks 0, 1 and 3 wait in Barrier()", "rank 2 has finished", "ended without it"]),
    "nonblocking, missing member": (3, nonblocking_missing, (1, 2), (),
                                    ["ranks 1 and 2 wait in Wait of Ibarrier()", "rank 0 ended without it"]),
    "Waitall": (2, waitall, (0, 1), (0, 1),
                ["rank 0 waits in Waitall(3 requests, 2 not complete: Irecv(source=1, tag=0); Irecv(source=1, tag=2))"]),
    "Waitany": (2, lambda c: MPI.Request.Waitany([c.Irecv(room(), 1 - c.rank, t) for t in (1, 2)]), (0, 1), (0, 1),
                ["Waitany(2 requests, 2 not complete: Irecv(source=1, tag=1); Irecv(source=1, tag=2))"]),
    "Probe": (2, lambda c: c.Probe(1 - c.rank, 3), (0, 1), (0, 1), ["rank 1 waits in Probe(source=0, tag=3)"]),
    "Test for ever": (3, poll_test, (0,), (), ["rank 0 waits in Test of Irecv(source=1, tag=ANY_TAG)", "needs a send by rank 1"]),
    "Testsome for ever": (2, poll_some, (0, 1), (0, 1), ["Testsome(2 requests, 2 not complete"]),
    "Iprobe for ever": (2, poll_probe, (0, 1), (0, 1), ["rank 0 waits in Iprobe(source=1, tag=3)"]),
    "from itself": (1, lambda c: c.Recv(room(), 0), (0,), (0,), ["a cycle 0 -> 0", "waits for itself"]),
    "to itself": (1, lambda c: c.Ssend(ROOM, 0), (0,), (0,), ["Ssend(dest=0, tag=0)", "waits for itself"]),
    "sub-communicator": (4, subset, (1, 3), (1, 3), ["rank 3 waits in Recv(source=0, tag=ANY_TAG) on Split of ranks 1, 3"]),
    "wrong tag": (2, wrong_tag, (1,), (), ["a message of 32 bytes from rank 0 with tag 7 has arrived at rank 1, which asks for tag 8"]),
    "anybody": (3, lambda c: c.recv(), (0, 1, 2), (0, 1), ["ranks 0-2 wait in recv(source=ANY_SOURCE, tag=ANY_TAG)"]),
    "COMM_SELF": (2, lambda c: MPI.COMM_SELF.recv(), (0, 1), (0,), ["recv(source=ANY_SOURCE, tag=ANY_TAG)"]),
    "taken by a probe": (3, taken_by_a_probe, (0, 1), (0, 1),
                         ["rank 0 waits in Recv(source=1, tag=ANY_TAG); rank 1 waits in Ssend(dest=0, tag=0): a cycle"]),
    "object collective": (3, lambda c: c.bcast(1) if c.rank else c.recv(source=1), (0, 1, 2), None, ["bcast(root=0)"]),
}


@pytest.mark.parametrize("name", DEADLOCKS)
def test_verdict(name):
    num_ranks, function, stuck, cycle, words = DEADLOCKS[name]
    with pytest.raises(DeadlockError) as caught:
        simulate(num_ranks, function)
    error = caught.value
    assert error.graph.stuck == stuck
    assert cycle is None or error.graph.cycle == cycle
    for text in words:
        assert text in str(error)
    assert [status.rank for status in error.statuses] == list(range(num_ranks))
    assert {s.rank for s in error.statuses if s.state == "waiting"} == set(stuck)
    assert all(edge.waiter in stuck for edge in error.graph.edges)


def test_a_verdict_names_lines_of_the_cell():
    source = "def main(comm):\n    half = comm.Dup()\n    half.Recv(bytearray(1), source=1 - comm.rank)\n"
    namespace = {}
    exec(compile(source, "<mpi cell 1>", "exec"), namespace)
    import linecache

    linecache.cache["<mpi cell 1>"] = (len(source), None, source.splitlines(True), "<mpi cell 1>")
    with pytest.raises(DeadlockError, match=r"(?s)line 3.*line   3: half.Recv"):
        simulate(2, namespace["main"])


@pytest.mark.parametrize("calls, words", [
    ((lambda c: c.Bcast(room()), lambda c: c.Barrier()), ["rank 0 called Bcast(root=0)", "ranks 1-3 called Barrier()"]),
    ((lambda c: c.Bcast(room(), 0), lambda c: c.Bcast(room(), 1)), ["Bcast(root=0)", "Bcast(root=1)"]),
    ((lambda c: c.Allreduce(ROOM, room()), lambda c: c.Iallreduce(ROOM, room()).Wait()), ["Allreduce()", "Iallreduce()"]),
    ((lambda c: c.bcast(1), lambda c: c.Bcast(room())), ["bcast(root=0)", "Bcast(root=0)"]),
    ((lambda c: c.Dup(), lambda c: c.Split()), ["Dup()", "Split()"]),
    ((lambda c: (c.Barrier(), c.Barrier()), lambda c: (c.Barrier(), c.allgather(1))), ["call number 2"]),
])
def test_a_mismatch_is_named(calls, words):
    with pytest.raises(CollectiveMismatchError) as caught:
        simulate(4, lambda comm: calls[comm.rank > 0](comm))
    for text in words:
        assert text in str(caught.value)


def test_a_collective_that_one_rank_never_called():
    with pytest.raises((CollectiveMismatchError, DeadlockError), match="rank 1"):
        simulate(2, lambda comm: comm.Ibcast(room()) if comm.rank == 0 else None)


def test_equal_failures_are_told_once():
    def main(comm):
        if comm.rank in (1, 2):
            raise ValueError("same")
        comm.Barrier()

    with pytest.raises(RankFailedError, match=r"^ranks 1 and 2 raised ValueError: same") as caught:
        simulate(4, main)
    assert type(caught.value.__cause__) is ValueError and str(caught.value).count("Traceback") == 1
    assert [s.state for s in caught.value.statuses][1:3] == ["failed", "failed"]


def test_the_first_failure_in_virtual_time_is_the_one():
    def main(comm):
        comm.charge_compute(10.0 - comm.rank)
        raise ValueError(comm.rank)

    with pytest.raises(RankFailedError, match="^rank 3 raised ValueError: 3"):
        simulate(4, main)


@pytest.mark.parametrize("failure, error, cause", [
    (SystemExit(3), RankFailedError, SystemExit), (KeyboardInterrupt(), CellInterruptedError, None),
    (MemoryError(), RankFailedError, MemoryError), ("abort", RankFailedError, Aborted),
])
def test_other_ways_to_end(failure, error, cause):
    def main(comm):
        if comm.rank == 1:
            if failure == "abort":
                comm.Abort(5)
            raise failure
        comm.Barrier()

    with pytest.raises(error) as caught:
        simulate(3, main)
    assert cause is None or type(caught.value.__cause__) is cause
    assert simulate(2, lambda comm: comm.allreduce(1)).results == [2, 2]  # and the next one runs


def test_finally_blocks_run_and_ranks_that_catch_everything_are_left(capfd):
    ended = []

    def main(comm):
        try:
            comm.Recv(room(), 0)
        finally:
            ended.append(comm.rank)

    def stubborn(comm):
        while True:
            try:
                comm.Recv(room(), 0)
            except BaseException:
                pass

    with pytest.raises(DeadlockError):
        simulate(3, main)
    assert sorted(ended) == [0, 1, 2]
    with pytest.raises(DeadlockError):
        simulate(2, stubborn)
    gc.collect()
    assert capfd.readouterr().err == ""
    assert simulate(2, lambda comm: comm.rank).results == [0, 1]


def test_a_failure_in_a_nonblocking_collective_is_that_of_its_rank():
    with pytest.raises(RankFailedError, match=r"(?s)rank 1.*sendbuf has 4 elements of float64, but recvbuf 3"):
        simulate(2, lambda comm: comm.Iallreduce(ROOM, np.zeros(4 - comm.rank)).Wait())


def test_no_simulation_inside_another_but_one_in_a_thread():
    with pytest.raises(RankFailedError, match="neither its ranks nor other threads"):
        simulate(2, lambda comm: simulate(2, lambda comm: 1))
    results = []
    thread = threading.Thread(target=lambda: results.append(simulate(3, lambda comm: comm.allreduce(1)).results))
    thread.start()
    thread.join()
    assert results == [[3, 3, 3]]
    for num_ranks in (0, -1, 2.0, "2", None):
        with pytest.raises(UsageError):
            simulate(num_ranks, lambda comm: None)


def test_the_names_of_mpi4py_come_back():
    before = {name: getattr(MPI, name) for name in ("Request", "Prequest", "Wtime", "COMM_WORLD", "COMM_SELF", "Win", "Op")}

    def main(comm):
        assert MPI.COMM_WORLD.rank == comm.rank and MPI.COMM_SELF.size == 1
        assert MPI.Wtime() == comm.me.now and isinstance(MPI.SUM, MPI.Op)
        raise ValueError

    with pytest.raises(RankFailedError):
        simulate(2, main)
    assert all(getattr(MPI, name) is value for name, value in before.items())
    assert not hasattr(MPI, "labkit_simulation")


def test_what_is_not_simulated_says_so():
    def main(comm):
        assert not hasattr(comm, "Create_group") and not hasattr(comm, "no_such_thing")
        with pytest.raises(NotAvailableError, match="real ranks"):
            comm.Create_group(None)
        with pytest.raises(NotAvailableError, match="windows"):
            MPI.Win.Allocate(8)
        return True

    assert simulate(1, main).results == [True]


def test_a_freed_communicator_is_good_for_nothing():
    def main(comm):
        twin = comm.Dup()
        request = twin.Irecv(got := room(), (comm.rank - 1) % comm.size)
        twin.Send(ROOM + comm.rank, (comm.rank + 1) % comm.size)
        twin.Free()
        request.Wait()
        assert got[0] == (comm.rank - 1) % comm.size and twin == MPI.COMM_NULL != comm
        for call in (lambda: twin.Send(ROOM, 0), lambda: twin.Barrier(), lambda: twin.Free(), lambda: twin.Get_rank()):
            with pytest.raises(MPI.Exception, match="has been freed") as caught:
                call()
            assert caught.value.Get_error_class() == MPI.ERR_COMM

    simulate(3, main)


def test_what_is_left_over_is_told():
    def main(comm):
        if comm.rank == 0:
            comm.Isend(ROOM, 1, 3)
            comm.Issend(ROOM, 1, 4)
            comm.Irecv(room(), 1, 5)
            comm.Ibarrier()
        else:
            comm.Ibarrier().Wait()

    run = simulate(2, main)
    assert run.num_unreceived == 2
    assert run.left_over == {0: ["Issend(dest=1, tag=4)", "Irecv(source=1, tag=5)", "Ibarrier()"]}


def test_state_of_generators_and_closures_is_that_of_its_rank():
    def main(comm):
        counter = iter(range(100))

        def numbers():
            while True:
                comm.Barrier()
                yield next(counter) * 10 + comm.rank

        return [value for value, _ in zip(numbers(), range(5), strict=False)]

    assert simulate(4, main).results == [[10 * k + rank for k in range(5)] for rank in range(4)]


def test_many_ranks_are_cheap():
    def main(comm):
        comm.Barrier()
        total = np.zeros(1)
        comm.Allreduce(np.ones(1), total)
        comm.Split(comm.rank % 7).Barrier()
        return total[0]

    run = simulate(1024, main)
    assert run.results == [1024.0] * 1024
    ring = simulate(1024, lambda c: c.sendrecv(c.rank, (c.rank + 1) % c.size, source=(c.rank - 1) % c.size))
    assert (ring.counts.num_messages, ring.counts.num_rounds) == (1024, 1)
    barrier = simulate(1024, lambda comm: comm.Barrier())
    assert (barrier.counts.num_messages, barrier.counts.num_rounds, barrier.counts.num_bytes) == (10 * 1024, 10, 0)


def test_a_simulation_leaves_no_memory_behind():
    import tracemalloc

    def main(comm):
        comm.Allreduce(np.ones(100), np.zeros(100))
        if comm.rank == 0:
            comm.recv(source=1)

    def run():
        simulation = Simulation(64, network=alpha_beta(1, 1))
        simulation.run(main)
        assert isinstance(simulation.error(), DeadlockError)

    run()
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            run()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 300_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("arguments, words", [
    (lambda r: ([4, 1] if r < 2 else [2, 2], None),
     ["ranks 0 and 1: dims [4, 1], periods [False, False]", "ranks 2 and 3: dims [2, 2]"]),
    (lambda r: ([4], [r == 3]), ["ranks 0-2: dims [4], periods [False]; rank 3: dims [4], periods [True]"]),
    (lambda r: ([4 - r // 3], None), ["ranks 0-2: dims [4]", "rank 3: dims [3]"]),
])
def test_ranks_that_ask_for_different_grids_are_all_told(arguments, words):
    def main(comm):
        with pytest.raises(MPI.Exception) as caught:
            comm.Create_cart(*arguments(comm.rank))
        return caught.value.Get_error_class(), str(caught.value)

    for rank, (error_class, text) in enumerate(simulate(4, main).results):
        assert error_class == MPI.ERR_ARG and text.startswith(f"rank {rank}: Create_cart")
        assert all(part in text for part in words)


@pytest.mark.parametrize("seconds", [-5, -1e-300, float("nan"), float("inf")])
def test_no_rank_computes_for_less_than_no_time_or_for_ever(seconds):
    with pytest.raises(RankFailedError, match="cannot compute for .* s; pass a finite number") as caught:
        simulate(2, lambda comm: comm.charge_compute(seconds))
    assert type(caught.value.__cause__) is UsageError


def test_a_network_has_a_name():
    def times(network):
        return simulate(2, lambda comm: comm.allreduce(1), network=network).times_s

    assert times("ethernet-10g") == times(PRESETS["ethernet-10g"])
    for wrong, words in (("ethernet-11g", "there is no network"), (None, "a Network or its name"), (1e-6, "not 1e-06")):
        with pytest.raises(UsageError, match=words):
            times(wrong)
