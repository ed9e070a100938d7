"""Candidates run against each other on real ranks: the faster one is picked, and it is remembered."""

import json

import numpy as np
import pytest

from labkit.comm.network.presets import PRESETS
from labkit.comm.simulated.run import simulate
from labkit.errors import NotAvailableError, UsageError
from labkit.mpi import fit as fit_room
from labkit.mpi import run_off as room
from labkit.mpi.collectives.registry import OPERATIONS, family
from labkit.mpi.fit import MachineFit, choose, ranking
from labkit.mpi.run_off import can_run, fastest, run_off
from labkit.mpi.run_off_ranks import in_place, timed_in_turn

SIZES = tuple(64 * 2**k for k in range(19))
LINE = [2e-6 + 1e-9 * size for size in SIZES]
MACHINE = MachineFit.from_samples(2, SIZES, one_way=LINE, exchange=LINE, reduce=LINE, own_reduce=LINE, copy=LINE)
CLOSE = [("allreduce_ring", 1.0e-5), ("allreduce_swing", 1.1e-5), ("allreduce_rabenseifner", 1.2e-5)]

# The program of the ranks, with algorithms that sleep before they begin.
SLOWED = """
import dataclasses, sys, time
from labkit.mpi import run_off_ranks
from labkit.mpi.collectives.registry import ALGORITHMS

def slowed(function):
    def call(*arguments):
        time.sleep(0.02)
        function(*arguments)
    return call

for name in sys.argv.pop(1).split(","):
    ALGORITHMS[name] = dataclasses.replace(ALGORITHMS[name], function=slowed(ALGORITHMS[name].function))
run_off_ranks.main(sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
"""


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(room, "_remembered", {})
    monkeypatch.setattr(room, "NUM_STARTS", 1)
    monkeypatch.setattr(fit_room, "this_machine", lambda num_ranks: MACHINE)


@pytest.fixture
def starts(monkeypatch):
    """The starts of ranks, which are not done: what they were asked for. The last algorithm is always the fastest."""
    seen = []

    def run_mpi(arguments, num_ranks, deadline_s):
        names = arguments[1].split(",")
        seen.append((num_ranks, names, *arguments[2:]))
        return "a line of another\n{" + ", ".join(f'"{name}": [{1 / (i + 1)}]' for i, name in enumerate(names)) + "}\n"

    monkeypatch.setattr(room, "run_mpi", run_mpi)
    return seen


@pytest.mark.mpi
@pytest.mark.parametrize("faster", ["ring", "swing", "rabenseifner"])
def test_of_algorithms_that_are_slowed_the_other_one_is_picked(faster, monkeypatch, tmp_path):
    names = [name for name, _ in CLOSE]
    slowed = [name for name in names if name != f"allreduce_{faster}"]
    program = tmp_path / "slowed.py"
    program.write_text(SLOWED)
    run_mpi = room.run_mpi

    def run_slowed(arguments, num_ranks, deadline_s):
        return run_mpi([str(program), ",".join(slowed), *arguments[1:]], num_ranks, deadline_s)

    monkeypatch.setattr(room, "run_mpi", run_slowed)
    assert fastest(CLOSE, 2, 65536, seconds=0.01) == f"allreduce_{faster}"
    assert list(room._remembered.values()) == [f"allreduce_{faster}"]  # it was run, and prediction did not decide
    monkeypatch.setattr(room, "run_mpi", run_mpi)
    times = run_off(names, 2, 65536, seconds=0.01)  # nothing slowed
    assert list(times) == names and all(0 < t < 60 for t in times.values())


@pytest.mark.mpi
@pytest.mark.parametrize("num_ranks", [2, 3])
@pytest.mark.parametrize("num_bytes", [0, 1000])
def test_whole_families_run_off_on_ranks(num_ranks, num_bytes):
    for op, itemsize in (("barrier", 8), ("allgather", 4), ("reduce", 16), ("scan", 2), ("allreduce", 1)):
        names = [a.name for a in family(op) if a.name != "allreduce_hierarchical"]
        times = run_off(names, num_ranks, num_bytes, itemsize=itemsize, seconds=0.01)
        assert list(times) == names and all(t > 0 for t in times.values())


@pytest.mark.parametrize("num_ranks", [2, 3, 4])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_calls_in_place_do_what_the_operation_means(operation, num_ranks):
    """Block b of rank r holds 100 (r + 1) + b; a gather sends the own block only."""
    n = 2 * num_ranks
    inputs = 100.0 * np.arange(1, num_ranks + 1)[:, None] + np.arange(num_ranks).repeat(2)  # ranks x n

    def mine(row, rank):
        return row[2 * rank : 2 * rank + 2]

    diagonal = np.concatenate([mine(inputs[r], r) for r in range(num_ranks)])
    for algorithm in family(operation):
        if algorithm.needs_shared_memory or algorithm.name == "allreduce_hierarchical":
            continue

        def program(comm, name=algorithm.name):
            source_is_y = operation in ("alltoall", "scan", "exscan")
            x, y = np.full(n, -1.0), np.full(n, -1.0)
            (y if source_is_y else x)[:] = inputs[comm.rank]
            if operation == "gather" and comm.rank:
                x[:2] = inputs[comm.rank][2 * comm.rank : 2 * comm.rank + 2]
            in_place(comm, name, x, y)()
            return x.copy(), y.copy()

        for rank, (x, y) in enumerate(simulate(num_ranks, program).results):
            found, wanted = {
                "barrier": (x, inputs[rank]),
                "broadcast": (x, inputs[0]),
                "scatter": (x if rank == 0 else x[:2], inputs[0] if rank == 0 else mine(inputs[0], rank)),
                "gather": (x if rank == 0 else x[:2], diagonal if rank == 0 else mine(inputs[rank], rank)),
                "allgather": (x, diagonal),
                "reduce": (x, inputs.sum(0) if rank == 0 else inputs[rank]),
                "reduce_scatter": (y[:2], mine(inputs.sum(0), rank)),
                "allreduce": (x, inputs.sum(0)),
                "alltoall": (x, np.concatenate([mine(row, rank) for row in inputs])),
                "scan": (x, inputs[: rank + 1].sum(0)),
                "exscan": (x, inputs[:rank].sum(0) if rank else np.full(n, -1.0)),
            }[operation]
            assert np.array_equal(found, wanted), f"{algorithm.name}, rank {rank}"


def test_algorithms_take_turns_and_vectors_begin_at_zero():
    def program(comm):
        x, seen = np.full(3, 7.0), []

        def call(name):
            seen.append((name, x[0]))
            x[0] += 1

        samples = timed_in_turn(comm, {"a": lambda: call("a"), "b": lambda: call("b")}, [x], 3)
        return seen, {name: len(row) for name, row in samples.items()}

    for seen, counts in simulate(2, program).results:
        assert counts == {"a": 3, "b": 3}
        assert seen == [(name, float(k)) for _ in range(3) for name in "ab" for k in range(8)]


def test_the_outcome_is_remembered_by_operation_ranks_size_and_itemsize(starts):
    picked = [choose("allreduce", 2, 65536) for _ in range(3)]
    assert len(starts) == 1 and picked == [starts[0][1][-1]] * 3
    assert picked[0] != ranking("allreduce", 2, 65536, machine=MACHINE)[0][0]  # so prediction did not decide
    assert starts[0][0] == 2 and starts[0][2:] == ("8192", "f8", str(room.NUM_ROUNDS), "1.0")
    choose("allreduce", np.int64(2), 65535)  # as many elements
    assert len(starts) == 1
    choose("allreduce", 2, 65536, itemsize=4, run_off_s=0.1)
    assert starts[-1][2:] == ("16384", "f4", str(room.NUM_ROUNDS), "0.1")
    choose("allreduce", 2, 131072)
    choose("broadcast", 2, 65536)
    choose("allreduce", 3, 65536)
    assert len(starts) == 5
    choose("allreduce", 2, 65536)
    assert len(starts) == 5


def test_several_starts_of_the_ranks_are_judged_together(monkeypatch):
    """The mean of the starts' medians, not the last start; the time to measure is shared."""
    a_start = iter([{"x": [3.0, 3.0], "y": [1.0, 2.0]}, {"x": [1.0], "y": [9.0, 9.0]}, {"x": [3.0, 9.0], "y": [2.0]}])
    seconds = []

    def run_mpi(arguments, num_ranks, deadline_s):
        seconds.append(float(arguments[-1]))
        times = next(a_start)
        return json.dumps({"allreduce_ring": times["x"], "allreduce_swing": times["y"]})

    monkeypatch.setattr(room, "NUM_STARTS", 3)
    monkeypatch.setattr(room, "run_mpi", run_mpi)
    assert run_off(["allreduce_ring", "allreduce_swing"], 2, 8, seconds=1.5) == pytest.approx(
        {"allreduce_ring": (3.0 + 1.0 + 6.0) / 3, "allreduce_swing": (1.5 + 9.0 + 2.0) / 3}
    )
    assert seconds == [0.5] * 3


def test_only_those_predicted_close_to_the_best_run(starts):
    rows = [("allreduce_ring", 1e-5), ("allreduce_swing", 1.4e-5), ("allreduce_rabenseifner", 1.6e-5)]
    assert fastest(rows, 2, 1000) == "allreduce_swing"
    assert starts[0][1] == ["allreduce_ring", "allreduce_swing"]
    assert fastest(rows[::2], 2, 2000) == "allreduce_ring" and len(starts) == 1


def test_what_goes_through_shared_memory_runs_too_on_one_node(starts):
    assert choose("allreduce", 2, 65536) == "allreduce_shared_memory" == starts[0][1][-1]
    assert choose("allreduce", 2, 65536, num_nodes=2) != "allreduce_shared_memory"
    assert "allreduce_shared_memory" not in starts[1][1] and starts[1][1] == starts[0][1][:-1]
    assert choose("allreduce", 2, 65536) == "allreduce_shared_memory" and len(starts) == 2
    choose("broadcast", 2, 65536)
    assert starts[-1][1][-1] == "broadcast_shared_memory"
    assert not any("shared" in name for name in (choose("reduce", 2, 65536), *starts[-1][1]))
    # One that is predicted clearly ahead must still be the faster one.
    assert fastest([("allreduce_ring", 1e-5)], 2, 65536, ["allreduce_swing"]) == "allreduce_swing" and len(starts) == 5


def test_with_a_machine_nothing_is_run(starts, monkeypatch):
    monkeypatch.setattr(fit_room, "this_machine", None)  # it would raise if it were called
    for machine in (MACHINE, PRESETS["ethernet-10g"]):
        for op in OPERATIONS:
            assert choose(op, 2, 65536, machine=machine) == ranking(op, 2, 65536, machine=machine)[0][0]
    assert starts == []


@pytest.mark.parametrize(
    ("num_ranks", "num_bytes", "itemsize"),
    [(1, 65536, 8), (65, 65536, 8), (1000, 65536, 8), (2, 2**34, 8), (2, 65536, 12)],
)
def test_what_cannot_be_run_here_is_predicted(starts, num_ranks, num_bytes, itemsize):
    expected = ranking("allreduce", num_ranks, num_bytes, machine=MACHINE, itemsize=itemsize)[0][0]
    assert choose("allreduce", num_ranks, num_bytes, itemsize=itemsize) == expected
    assert starts == [] and room._remembered == {}


def test_what_would_take_too_long_is_predicted(starts):
    assert fastest([("scan_linear", 0.5), ("scan_recursive_doubling", 0.5)], 2, 8) == "scan_linear"
    assert starts == []


def test_the_vectors_of_all_ranks_stay_below_a_gibibyte():
    """Two vectors a rank."""
    assert can_run(2, 2**28) and not can_run(2, 2**28 + 1)
    assert can_run(4, 2**27) and not can_run(4, 2**27 + 1)


def test_more_ranks_than_cores_can_take_are_not_run(monkeypatch):
    for num_cores, most in ((1, 4), (2, 8), (64, 64)):
        monkeypatch.setattr(room.os, "sched_getaffinity", lambda _, n=num_cores: range(n), raising=False)
        assert can_run(most, 8) and not can_run(most + 1, 8)


def test_where_ranks_do_not_start_prediction_decides_and_no_one_waits_twice(monkeypatch):
    tries = []

    def run_mpi(*arguments, **options):
        tries.append(arguments)
        raise NotAvailableError("no ranks here")

    monkeypatch.setattr(room, "run_mpi", run_mpi)
    assert [fastest(CLOSE, 2, 65536) for _ in range(2)] == ["allreduce_ring"] * 2 and len(tries) == 1
    with pytest.raises(NotAvailableError, match="no ranks here"):
        run_off([name for name, _ in CLOSE], 2, 65536)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run_off([], 2, 8), "of one operation run against each other, not of 0 (no algorithm)"),
        (lambda: run_off(["allreduce_ring", "scan_linear"], 2, 8), "not of 2 (allreduce, scan)"),
        (lambda: run_off(["allreduce_best"], 2, 8), "there is no algorithm 'allreduce_best'"),
        (lambda: run_off(["allreduce_ring"], 0, 8), "0 real ranks with 8 bytes"),
        (lambda: run_off(["allreduce_ring"], 65, 8), "run 1 to 64 ranks"),
        (lambda: run_off(["allreduce_ring"], 2, -1), "-1 bytes"),
        (lambda: run_off(["allreduce_ring"], 2, 8, itemsize=3), "no number of 3 bytes"),
        (lambda: run_off(["allreduce_ring"], 2, 8, seconds=0), "a run-off of 0 s"),
        (lambda: choose("allreduce", 2, 8, run_off_s=11), "choose: a run-off of 11 s: let it last more than 0"),
        (lambda: choose("allreduce", 2, 8, num_nodes=0), "num_nodes is a whole number of at least 1, not 0"),
        (lambda: choose("allreduce", 2, 8, run_off_s=True), "a run-off of True s"),
        (lambda: choose("allreduce", 2, 8, run_off_s="1"), "a run-off of '1' s"),
    ],
)
def test_wrong_arguments(starts, call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert words in str(caught.value)
    assert starts == []


def test_an_unknown_operation_measures_nothing(starts, monkeypatch):
    monkeypatch.setattr(fit_room, "this_machine", None)
    with pytest.raises(UsageError, match="there is no operation 'sum'"):
        choose("sum", 2, 8)
    assert starts == []
