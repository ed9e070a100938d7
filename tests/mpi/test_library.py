"""Which algorithms simulated ranks run, told by the messages that they send."""

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.simulated.run import simulate

N = 1024  # doubles; enough for the long-vector algorithms of reduce and all-reduce, too few for that of reduce-scatter
# 8 ranks: recursive doubling and halving take lg 8 = 3 rounds of a message a rank, pairwise exchange 7; Rabenseifner's
# all-reduce takes 3 + 3, his reduce 3 and a gather (7 messages), a binomial tree has 7 edges.
MESSAGES = [
    ("allreduce", "SUM", 8 * 6), ("allreduce", "own, commutes", 8 * 3), ("allreduce", "own", 8 * 3),
    ("reduce", "SUM", 8 * 3 + 7), ("reduce", "own, commutes", 7), ("reduce", "own", 7),
    ("reduce_scatter", "SUM", 8 * 3), ("reduce_scatter", "own, commutes", 8 * 3), ("reduce_scatter", "own", 8 * 7),
]


def add(a, b, datatype):
    numbers = np.frombuffer(b, float)
    numbers += np.frombuffer(a, float)


def with_operation(call, kind):
    """What each rank runs: the collective over vectors of ranks."""

    def program(comm):
        op = MPI.SUM if kind == "SUM" else MPI.Op.Create(add, commute="commutes" in kind)
        send, recv = np.full(N, comm.rank + 1.0), np.zeros(N // 8 if call == "reduce_scatter" else N)
        if call == "allreduce":
            comm.Allreduce(send, recv, op)
        elif call == "reduce":
            comm.Reduce(send, recv, op, root=0)
        else:
            comm.Reduce_scatter_block(send, recv, op)
        return recv

    return program


@pytest.mark.parametrize(("call", "kind", "num_messages"), MESSAGES)
def test_mpich_asks_whether_an_operation_is_its_own(call, kind, num_messages):
    found = simulate(8, with_operation(call, kind))
    assert found.counts.num_messages == num_messages
    for result in found.results[: 1 if call == "reduce" else 8]:
        assert set(result) == {36.0}
