"""``%%mpi --sim`` in an IPython shell."""

import contextlib
import os
import random
import re
import signal
import threading

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from labkit.errors import (
    CellError,
    CellInterruptedError,
    CellTimeoutError,
    CollectiveMismatchError,
    DeadlockError,
    RankFailedError,
    UsageError,
)


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")
    return shell


def run(shell, line, text):
    with capture_output() as captured:
        shell.run_cell_magic("mpi", line, text)
    captured.text = re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout)
    return captured


def test_output_results_and_counts(shell):
    captured = run(shell, "--sim 3", "print('hello', comm.rank)\ncomm.allreduce(comm.rank + 1)")
    lines = captured.text.splitlines()
    assert lines[:6] == [f"rank {r} │ hello {r}" for r in range(3)] + [f"rank {r} │ Out: 6" for r in range(3)]
    assert lines[-1].startswith("3 simulated ranks on ")
    outcome = shell.user_ns["_simulation"]
    assert f"{outcome.counts.num_messages} messages" in lines[-1]
    assert outcome.counts.num_messages == 4  # a tree of two edges, there and back
    assert outcome.time_s > 0


def test_variables_stay_and_are_lost_with_another_number(shell):
    run(shell, "--sim 4", "kept = comm.rank * 10")
    assert "rank 3 │ Out: 30" in run(shell, "--sim 4", "kept").text
    captured = run(shell, "--sim 5", "'kept' in globals()")
    assert "5 instead of 4 simulated ranks: their variables are lost." in captured.text
    assert "rank 0 │ Out: False" in captured.text


def test_equal_output_of_many_ranks_is_shown_once(shell):
    text = run(shell, "--sim 100", "print('same' if comm.rank else 'first')\ncomm.size").text
    assert "rank  0 │ first\nranks 1-99 │ same\nranks 0-99 │ Out: 100\n" in text
    many = run(shell, "--sim 200", "comm.rank").text
    assert many.count("Out:") == 64 and "show other things" in many and "rank 199 │ Out: 199" in many


def test_network_and_virtual_time(shell):
    cell = "start = MPI.Wtime()\ncomm.Sendrecv(np.zeros(125), 1 - comm.rank, 0, np.empty(125), 1 - comm.rank)\nMPI.Wtime() - start"
    text = run(shell, "--sim 2 --network alpha=0.5,beta=0.001", cell).text
    assert "Out: 1.5\n" in text and "1.5 s of virtual time; 2 messages, 2,000 bytes, 1 round." in text


def test_trace_draws_and_keeps_the_timeline(shell):
    captured = run(shell, "--sim 4 --trace", "comm.sendrecv(comm.rank, (comm.rank + 1) % 4, 0, None, (comm.rank - 1) % 4)")
    assert any("application/vnd.plotly.v1+json" in output.data for output in captured.outputs)
    assert len(shell.user_ns["_timeline"].messages) == 4


def test_deadlock_is_named_with_line_and_picture(shell):
    with pytest.raises(DeadlockError) as caught, capture_output() as captured:
        shell.run_cell_magic("mpi", "--sim 3", "x = 1\ncomm.recv(source=(comm.rank + 1) % 3, tag=4)")
    assert "rank 0 waits in recv(source=1, tag=4), line 3" in str(caught.value)
    assert "a cycle 0 -> 1 -> 2 -> 0" in str(caught.value)
    assert captured.outputs


def test_unsafe_sends_are_found(shell):
    cell = "comm.Send(np.zeros(1), 1 - comm.rank)\ncomm.Recv(np.empty(1), 1 - comm.rank)"
    run(shell, "--sim 2", cell)
    with pytest.raises(DeadlockError), capture_output():
        shell.run_cell_magic("mpi", "--sim 2 --check-unsafe-sends", cell)


def test_an_exception_is_shown_with_its_line(shell):
    with pytest.raises(RankFailedError) as caught, capture_output():
        shell.run_cell_magic("mpi", "--sim 3", "y = 2\nif comm.rank == 1:\n    y / 0\ncomm.Barrier()")
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(caught.value))
    assert text.startswith("rank 1 raised ZeroDivisionError") and "----> 4     y / 0" in text
    assert "simulated/world.py" not in text and "rank 2 waits in Barrier(), line 5" in text
    assert caught.value.statuses[1].state == "failed"


def test_mismatch_and_exit(shell):
    with pytest.raises(CollectiveMismatchError), capture_output():
        shell.run_cell_magic("mpi", "--sim 2", "comm.Barrier() if comm.rank else comm.bcast(1)")
    assert "Out: 5" in run(shell, "--sim 2", "if comm.rank:\n    exit()\n5").text


def test_time_limit_and_stop_say_the_line(shell):
    endless = "while True:\n    pass"
    with pytest.raises(CellTimeoutError, match="--timeout of 0.5 s(.|\n)*computes, line [23]"), capture_output():
        shell.run_cell_magic("mpi", "--sim 2 --timeout 0.5", endless)
    main = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(CellInterruptedError, match="computes, line [23]"), capture_output():
        shell.run_cell_magic("mpi", "--sim 2", endless)
    assert "Out: 1" in run(shell, "--sim 2", "1").text  # and the next cell works


def test_requests_that_were_forgotten_are_named(shell):
    captured = run(shell, "--sim 2", "request = comm.Irecv(np.empty(1), tag=5)")
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.stderr)
    assert "rank 0 │ never completed: Irecv(source=ANY_SOURCE, tag=5), line 2." in text


def test_seeds_repeat_and_differ(shell):
    cell = "sorted_by_arrival = [comm.recv() for _ in range(7)] if comm.rank == 0 else comm.send(comm.rank, 0)"

    def order(seed):
        run(shell, f"--sim 8 --seed {seed}", cell)
        return tuple(shell.user_ns["get_ipython"]().magics_manager.registry["MPIMagics"].simulated.namespaces[0]["sorted_by_arrival"])

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(6)}) > 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--sim 0", "choose 1 to"), ("--sim 99999", "choose 1 to"), ("--sim 2 -n 2", "-n and --ranks are for real ranks"),
        ("--sim 2 --ranks 0", "for real ranks"), ("--network ethernet-10g", "add --sim"), ("--seed 1", "add --sim"),
        ("--sim 2 --network token-ring", "there is no network 'token-ring'"), ("--sim x", "Usage: %%mpi"),
        ("--sim 2 --network alpha=fast", "alpha=fast is not a number"), ("--sim 2 --network colour=1", "'colour=1' is none of"),
        ("--sim 2 --network topology=star", "topology=star is none of"), ("--sim 2 --network alpha=-1", "no cost of a link is negative"),
        ("--sim 6 --network topology=torus(2x2)", "choose rows x columns = 6"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(shell, line, words):
    with pytest.raises(UsageError) as caught:
        run(shell, line, "1")
    assert words in str(caught.value)


def test_a_simulation_leaves_mpi4py_as_it_was(shell):
    from mpi4py import MPI

    before = MPI.COMM_WORLD, MPI.Request, MPI.Wtime
    run(shell, "--sim 3", "from mpi4py import MPI\nassert MPI.COMM_WORLD.size == 3")
    with pytest.raises(RankFailedError):
        run(shell, "--sim 3", "1 / 0")
    assert (MPI.COMM_WORLD, MPI.Request, MPI.Wtime) == before
    assert MPI.COMM_WORLD.size == 1


@pytest.mark.parametrize("ending", ["", "1 / 0", "comm.recv(source=comm.rank)"])
def test_a_simulation_leaves_the_notebook_where_it_works(shell, tmp_path, monkeypatch, ending):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    cell = f"import os\nos.chdir('elsewhere') if comm.rank == 0 else None\nprint(os.path.basename(os.getcwd()))\n{ending}"
    with pytest.raises(CellError) if ending else contextlib.nullcontext(), capture_output() as captured:
        shell.run_cell_magic("mpi", "--sim 2", cell)
    assert "elsewhere" in captured.stdout  # the cell did move
    assert os.getcwd() == str(tmp_path)


SEEDED = (
    "import random\nrandom.seed(comm.rank)\nnp.random.seed(10 + comm.rank)\nfound = []\n"
    "for _ in range(3):\n    comm.Barrier()\n"
    "    found.append((random.random(), random.randint(0, 99), np.random.rand(), np.random.normal(), np.random.sample()))\n"
)


def test_each_rank_has_random_numbers_of_its_own_as_a_process_has(shell):
    run(shell, "--sim 3", SEEDED)
    run(shell, "--sim 3", "found.append(np.random.rand())")  # the generator stays, as the variables do
    namespaces = shell.user_ns["get_ipython"]().magics_manager.registry["MPIMagics"].simulated.namespaces
    for rank, namespace in enumerate(namespaces):
        own, numpys = random.Random(rank), np.random.RandomState(10 + rank)
        expected = [
            (own.random(), own.randint(0, 99), numpys.rand(), numpys.normal(), numpys.random_sample()) for _ in range(3)
        ]
        assert namespace["found"] == [*expected, numpys.rand()]


def test_the_random_numbers_of_the_notebook_are_not_touched(shell):
    random.seed(5), np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), random.random, np.random.rand, np.random.seed
    run(shell, "--sim 2", SEEDED)
    with pytest.raises(RankFailedError), capture_output():
        shell.run_cell_magic("mpi", "--sim 2", "np.random.rand(-1)")
    after = random.getstate(), np.random.get_state()[1].tolist(), random.random, np.random.rand, np.random.seed
    assert before == after
    text = run(shell, "--sim 2", "from random import random as draw\ndraw() != draw()").text
    assert text.count("Out: True") == 2
    assert "Out: True" in run(shell, "--sim 2", "draw() != draw()").text  # a name of the cell before


def test_init_and_finalize_of_a_whole_program_do_no_harm(shell):
    cell = "from mpi4py import MPI\nMPI.Init()\nfound = MPI.COMM_WORLD.allreduce(1)\nMPI.Finalize()\nfound"
    for _ in range(2):
        assert run(shell, "--sim 2", cell).text.count("Out: 2") == 2
    from mpi4py import MPI

    assert not MPI.Is_finalized()


def test_each_rank_attaches_a_buffer_of_its_own(shell):
    cell = (
        "room = bytearray(2000)\nMPI.Attach_buffer(room)\ncomm.Barrier()\ncomm.Bsend(np.full(1, comm.rank), 1 - comm.rank)\n"
        "comm.Recv(got := np.empty(1, int), 1 - comm.rank)\n(int(got[0]), MPI.Detach_buffer() is room)"
    )
    text = run(shell, "--sim 2", cell).text
    assert "rank 0 │ Out: (1, True)" in text and "rank 1 │ Out: (0, True)" in text
    with pytest.raises(RankFailedError, match="Attach_buffer: a rank has one buffer at a time(.|\n)*Detach_buffer"), capture_output():
        shell.run_cell_magic("mpi", "--sim 1", "MPI.Attach_buffer(bytearray(9))\nMPI.Attach_buffer(bytearray(9))")


def test_an_operation_on_objects_is_called_as_mpi4py_calls_it(shell):
    cell = "comm.allreduce([comm.rank], op=MPI.Op.Create(lambda a, b, datatype: a + b + [datatype]))"
    assert "Out: [0, 1, None]" in run(shell, "--sim 2", cell).text
    with pytest.raises(RankFailedError, match="takes 2 positional arguments but 3 were given"), capture_output():
        shell.run_cell_magic("mpi", "--sim 2", "comm.allreduce([1], op=MPI.Op.Create(lambda a, b: a + b))")


def test_objects_of_a_class_of_the_cell_travel(shell):
    cell = (
        "class Point:\n    def __init__(self, x):\n        self.x = x\n"
        "found = comm.sendrecv(Point(comm.rank), 1 - comm.rank, 0, None, 1 - comm.rank)\n"
        "found.x, type(found) is Point"
    )
    text = run(shell, "--sim 2", cell).text
    assert "rank 0 │ Out: (1, True)" in text and "rank 1 │ Out: (0, True)" in text
    import __main__

    assert not hasattr(__main__, "_namespaces")


def test_a_value_that_cannot_be_shown(shell):
    text = run(shell, "--sim 1", "class R:\n    def __repr__(self):\n        raise ValueError('bad')\nR()").text
    assert "Out: (a value that cannot be shown)" in text


def test_a_thread_of_a_rank_may_not_communicate(shell):
    cell = (
        "import threading\nseen = []\n"
        "def work():\n    try:\n        comm.recv(source=1 - comm.rank)\n    except Exception as error:\n        seen.append(str(error))\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\nseen[0][:60]"
    )
    text = run(shell, "--sim 2", cell).text
    for rank in (0, 1):
        assert f"rank {rank} │ Out: 'rank {rank}: a simulated rank communicates from its own program" in text
    assert "Out: 2" in run(shell, "--sim 2", "comm.allreduce(1)").text  # and the next cell works
