"""What the conformance body does not look at: verdicts, costs and names are those of a simulation in one process."""

import linecache

import pytest

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import Simulation
from labkit.comm.source_lines import CELL_FILENAME
from labkit.grading.remote.raised import AnswerRaised
from labkit.grading.remote.ranks import HOPELESS_POLLS

PROGRAMS = {
    "names of mpi4py's module": """
        world = MPI.COMM_WORLD
        start = MPI.Wtime()
        own = MPI.COMM_SELF
        own.Isend(np.arange(3), 0)
        own.Recv(room := np.zeros(3, int), 0)
        requests = [world.Irecv(other := np.zeros(3, int), left), world.Isend(room + rank, right)]
        MPI.Request.Waitall(requests)
        names = [comm.name, own.name, repr(comm), repr(comm.Dup()), comm.Dup().name, comm.Split(0).name]
        are_requests = [isinstance(request, MPI.Request) for request in requests]
        return other.tolist(), MPI.Wtime() > start, (own.rank, own.size), are_requests, names
    """,
    "reductions and computing": """
        from labkit.comm.reduction import compute_for, reduce_local
        comm.charge_compute(1e-3 * rank)
        compute_for(comm, 1e-4)
        a, b = np.arange(10.0) + rank, np.ones(10)
        reduce_local(comm, a, b, MPI.SUM)
        larger = lambda x, y, t: np.maximum(np.frombuffer(x), np.frombuffer(y), out=np.frombuffer(y))
        op = MPI.Op.Create(larger, commute=True)
        reduce_local(comm, a, b, op)
        own = (op.Is_commutative(), op.is_predefined, isinstance(op, MPI.Op), isinstance(MPI.SUM, MPI.Op))
        comm.Sendrecv(b, right, 0, c := np.zeros(10), left)
        reduce_local(comm, c, b, MPI.MIN)
        return b.tolist(), MPI.Wtime(), own
    """,
    "objects of all sizes in collectives": """
        found = []
        values = (None, rank, "x" * (rank + 1) * 100, [{"rank": rank}, (1.5, b"123")])
        values += ({"key": [rank] * 50, rank: "value"},)
        for value in values:
            found += [comm.bcast(value, size - 1), comm.gather(value), comm.allgather(value)]
            found += [comm.alltoall([value] * size)]
            found += [comm.scatter([f"{value}{r}" for r in range(size)] if rank == 0 else None)]
        return found, comm.allreduce(rank), comm.scan([rank]), comm.reduce({rank: 1}, op=lambda a, b: {**a, **b})
    """,
    "an operation started and never waited for": """
        add = lambda a, b, t: np.add(np.frombuffer(a), np.frombuffer(b), out=np.frombuffer(b))
        op = MPI.Op.Create(add, commute=False)
        comm.Iallreduce(np.full(4, rank * 1.0), np.zeros(4), op)
        return rank
    """,
    "a cycle of receives": "comm.Recv(np.zeros(1), left)\n",
    "a cycle of sends": "comm.Ssend(np.zeros(1), right, 5)\ncomm.Recv(np.zeros(1), left)\n",
    "a wait for a wrong tag": """
        comm.send(1, right, 3)
        request = comm.irecv(source=left, tag=4)
        request.wait()
    """,
    "a collective that one leaves out": """
        if rank:
            comm.Barrier()
        comm.allreduce(rank)
    """,
    "a wait for several": """
        requests = [comm.Irecv(np.zeros(1), left, tag) for tag in range(3)]
        comm.Send(np.zeros(1), right, 1)
        MPI.Request.Waitall(requests)
    """,
    "a probe for nothing": "comm.Probe(left, 9)\n",
    "a receive on a part": "comm.Split(rank % 2).Recv(np.zeros(1), 0)\n",
    "polling for ever": "while not comm.Iprobe(left):\n    pass\n",
    "reduce against gather": "comm.reduce(1) if rank else comm.gather(1)\n",
}


def source_of(body: str) -> str:
    lines = body.strip("\n").splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return (
        "import numpy as np\nfrom mpi4py import MPI\n\n\ndef answer(comm):\n"
        "    rank, size = comm.rank, comm.size\n    left, right = (rank - 1) % size, (rank + 1) % size\n"
        + "".join(f"    {line[indent:]}\n" for line in lines)
    )


def in_one_process(number: int, source: str, **options) -> Simulation:
    """The same program without processes of its own."""
    file, names = f"{CELL_FILENAME}in one process>", {}
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), names)
    simulation = Simulation(number, **options)
    simulation.world.hopeless_polls = HOPELESS_POLLS
    simulation.run(names["answer"])
    return simulation


@pytest.mark.parametrize("network", [None, alpha_beta(1e-6, 1e-9, 1e-10, eager_limit_bytes=0)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_is_as_in_one_process(ranks, name, network):
    source = source_of(PROGRAMS[name])
    options = {"network": network} if network else {}
    for number in (2, 3):
        local = in_one_process(number, source, **options)
        remote, _ = ranks(number, source).simulate([()] * number, trace=True, **options)
        assert str(remote.error()) == str(local.error())
        assert type(remote.error()) is type(local.error())
        assert remote.counts() == local.counts()
        assert [float(rank.now) for rank in remote.world.ranks] == [float(rank.now) for rank in local.world.ranks]
        assert [r.result and r.result["return"] for r in remote.world.ranks] == [r.result for r in local.world.ranks]
        assert (remote.left_over, remote.num_unreceived) == (local.left_over, local.num_unreceived)
        assert remote.error() is not None or "comm." not in PROGRAMS[name].splitlines()[0]


def results(simulation):
    assert simulation.error() is None, simulation.error()
    return [rank.result["return"] for rank in simulation.world.ranks]


def test_null_requests_are_inactive(ranks):
    source = source_of("""
        null, R, status = MPI.REQUEST_NULL, MPI.Request, MPI.Status()
        def two():
            comm.isend("o", rank, 9)
            return [null, comm.irecv(source=rank, tag=9)]
        found = [R.Waitany(two()), R.waitany(two(), status), status.tag, R.waitall(two())]
        found += [R.Waitsome(two()), R.waitsome(two())]
        requests = two()
        comm.Barrier()
        found += [R.testall(requests), R.Testany(requests), R.testsome(requests)]
        of_both = R.Waitall, R.Waitany, R.Waitsome, R.Testall, R.Testany, R.Testsome, R.waitall, R.testsome, R.testall
        found += [call([null, null]) for call in of_both]
        return found
    """)
    undefined = -32766
    for found in results(ranks(2, source).simulate([(), ()])[0]):
        assert found == [
            1, (1, "o"), 9, [None, "o"], [1], ([1], ["o"]), (True, [None, "o"]), (undefined, True), (None, None),
            True, undefined, None, True, (undefined, True), None, [None, None], (None, None), (True, [None, None]),
        ]


def test_requests_are_over_after_a_wait_that_failed(ranks):
    source = source_of("""
        rooms = [np.zeros(2) for _ in range(3)]
        requests = [comm.Irecv(room, left, tag) for tag, room in enumerate(rooms)]
        for tag, count in enumerate((2, 3, 2)):
            comm.Send(np.ones(count), right, tag)
        try:
            MPI.Request.Waitall(requests)
        except MPI.Exception as error:
            words = str(error)
        over = [request == MPI.REQUEST_NULL for request in requests]
        return "tag 1 has 24 bytes" in words, over, [request.Wait() for request in requests], rooms[0][0], rooms[2][1]
    """)
    assert results(ranks(2, source).simulate([(), ()])[0]) == [(True, [True] * 3, [True] * 3, 1.0, 1.0)] * 2


def test_statuses_lists_are_made_as_long_as_needed(ranks):
    source = source_of("""
        comm.Send(np.zeros(2), right, 4)
        comm.Send(np.zeros(3), right, 5)
        requests = [comm.Irecv(np.zeros(9), left, tag) for tag in (4, 5, 6)]
        comm.Barrier()
        some = []
        indices = MPI.Request.Waitsome(requests, some)
        all_of = []
        rest = [r for i, r in enumerate(requests[:2]) if i not in indices]
        MPI.Request.Waitall(rest, all_of)
        requests[2].Cancel()
        requests[2].Wait(last := MPI.Status())
        counted = sorted((s.tag, s.Get_count(MPI.DOUBLE)) for s in some + all_of)
        return len(some) == len(indices), len(all_of) == len(rest), counted, last.Is_cancelled()
    """)
    assert results(ranks(2, source).simulate([(), ()])[0]) == [(True, True, [(4, 2), (5, 3)], True)] * 2


def test_a_buffer_that_changes_while_it_is_sent_is_told(ranks):
    source = source_of("""
        request = comm.Isend(data := np.zeros(4), right, 1)
        data[0] = 1
        comm.Recv(np.zeros(4), left)
        request.Wait()
    """)
    error = ranks(2, source).simulate([(), ()])[0].error()
    assert isinstance(error.__cause__, AnswerRaised) and error.__cause__.kind == "UsageError"
    assert "Isend(dest=" in error.__cause__.words and "of line 8 changed before" in error.__cause__.words
    assert error.__cause__.line == 11


@pytest.mark.parametrize("call", [
    "comm.allreduce(1, op=lambda a, b: 1 // 0)",
    "comm.Allreduce(np.zeros(2), np.zeros(2), MPI.Op.Create(lambda a, b, t: 1 // 0))",
    "comm.Iallreduce(np.zeros(2), np.zeros(2), MPI.Op.Create(lambda a, b, t: 1 // 0)).Wait()",
])
def test_an_operation_that_raises_is_an_exception_of_its_rank(ranks, call):
    error = ranks(2, source_of(call)).simulate([(), ()])[0].error()
    assert isinstance(error.__cause__, AnswerRaised), error
    assert (error.__cause__.kind, error.__cause__.line) == ("ZeroDivisionError", 8)


def test_an_operation_that_raises_can_be_caught(ranks):
    source = source_of("""
        try:
            comm.allreduce(1, op=lambda a, b: {}["missing"])
        except KeyError as error:
            return error.args
        return "the other rank waits in vain"
    """)
    error = ranks(2, source).simulate([(), ()])[0]
    assert error.world.ranks[0].result["return"] == ("missing",)


def test_free_ends_a_communicator(ranks):
    source = source_of("""
        twin = comm.Dup()
        twin.Free()
        try:
            twin.Barrier()
        except MPI.Exception as error:
            return str(error), twin == MPI.COMM_NULL, comm == MPI.COMM_NULL
    """)
    for rank, found in enumerate(results(ranks(2, source).simulate([(), ()])[0])):
        assert found == (
            f"rank {rank}: Barrier on Dup of ranks 0, 1: this communicator has been freed (MPI_ERR_COMM)", True, False
        )


@pytest.mark.parametrize("amount", ["-1.0", "float('inf')", "float('nan')"])
def test_time_does_not_run_backwards(ranks, amount):
    error = ranks(1, source_of(f"comm.charge_compute({amount})")).simulate([()])[0].error()
    assert isinstance(error.__cause__, AnswerRaised) and error.__cause__.kind == "UsageError"
