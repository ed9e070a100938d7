"""A cell always comes back, with the cause; and the next cell works (see the ``cells`` fixture)."""

import os
import signal
import threading
import time

import pytest

from labkit.cluster.cell import run_cell
from labkit.cluster.outcome import Listener
from labkit.errors import (
    CellInterruptedError,
    CellTimeoutError,
    CollectiveMismatchError,
    DeadlockError,
    RankDiedError,
    RankFailedError,
)

pytestmark = pytest.mark.mpi


def test_init_and_finalize_of_a_whole_program_do_no_harm(cells):
    program = "from mpi4py import MPI\nMPI.Init()\nfound = MPI.COMM_WORLD.allreduce(1)\nMPI.Finalize()\nfound"
    for _ in range(2):
        assert cells.values(program) == ["3"] * 3


# name: (ranks, cell, stuck ranks, cycle, what the verdict must say)
DEADLOCKS = {
    "recv_recv_2": (
        2,
        "b = np.zeros(1)\ncomm.Recv(b, source=1 - comm.rank, tag=7)",
        (0, 1), (0, 1),
        ["rank 0 waits in Recv(source=1, tag=7), line 3", "a cycle 0 -> 1 -> 0"],
    ),
    "recv_recv_3": (
        3,
        "comm.recv(source=(comm.rank + 1) % 3)",
        (0, 1, 2), (0, 1, 2),
        ["rank 2 waits in recv(source=0, tag=ANY_TAG), line 2", "a cycle 0 -> 1 -> 2 -> 0"],
    ),
    "send_send": (
        2,
        "b = np.zeros(4_000_000)\n\ncomm.Send(b, dest=1 - comm.rank, tag=3)",
        (0, 1), (0, 1),
        ["Send(dest=1, tag=3) of 32000000 bytes, line 4", "Sendrecv"],
    ),
    "wrong_tag": (
        2,
        "b = np.zeros(4)\nif comm.rank == 0:\n    comm.Send(b, 1, tag=8)\nelse:\n    comm.Recv(b, 0, tag=7)",
        (1,), (),
        ["rank 1 waits in Recv(source=0, tag=7), line 6", "with tag 8", "asks for tag 7"],
    ),
    "wrong_source": (
        3,
        "if comm.rank == 0:\n    comm.send('x', 2)\nif comm.rank == 2:\n    comm.recv(source=1)",
        (2,), (),
        ["rank 2 waits in recv(source=1, tag=ANY_TAG), line 5", "a message from rank 0", "check the source"],
    ),
    "skipped_barrier": (
        3,
        "if comm.rank != 1:\n    comm.Barrier()",
        (0, 2), (),
        ["ranks 0 and 2 wait in Barrier(), line 3", "rank 1 ended without it"],
    ),
    "skipped_persistent_collective": (
        2,
        "b = np.zeros(3)\nif comm.rank == 1:\n    request = comm.Allreduce_init(MPI.IN_PLACE, b)\n    request.Start()\n    request.Wait()",
        (1,), (),
        ["rank 1 waits in Wait(Allreduce_init()), line 6", "rank 0 ended without it"],
    ),
    "unmatched_probe": (
        2,
        "if comm.rank == 1:\n    comm.Probe(source=0, tag=4)",
        (1,), (),
        ["rank 1 waits in Probe(source=0, tag=4), line 3"],
    ),
    "waitall_with_one_missing": (
        2,
        "rooms = [np.zeros(1), np.zeros(1)]\n"
        "requests = [comm.Irecv(room, 1 - comm.rank, tag) for tag, room in enumerate(rooms)]\n"
        "comm.Send(np.ones(1), 1 - comm.rank, 0)\n"
        "MPI.Request.Waitall(requests)",
        (0, 1), (0, 1),
        ["Waitall(2 requests, Irecv(source=1, tag=1)), line 5"],
    ),
    "sub_communicator_while_others_compute": (
        4,
        "import time\nsub = comm.Split(comm.rank // 2)\nif comm.rank < 2:\n"
        "    sub.recv(source=1 - sub.rank, tag=1)\nelse:\n    time.sleep(30)",
        (0, 1), (0, 1),
        ["on Split of ranks 0, 1, line 5", "ranks 2 and 3 compute"],
    ),
    "sendrecv_of_one": (
        2,
        "if comm.rank == 0:\n    comm.Sendrecv(np.zeros(1), 1, 0, np.zeros(1), 1, 0)",
        (0,), (),
        ["rank 0 waits in Sendrecv(source=1, tag=0), line 3", "rank 1, which ended without it"],
    ),
    "exit_before_a_collective": (
        3,
        "import sys\nif comm.rank == 1:\n    sys.exit()\ncomm.Barrier()",
        (0, 2), (),
        ["rank 1 has finished: sys.exit(), line 4", "Barrier(), line 5"],
    ),
    "in_a_function_of_an_earlier_line": (
        2,
        "def exchange():\n    comm.recv(source=1 - comm.rank)\n\nexchange()",
        (0, 1), (0, 1),
        ["line 3"],
    ),
    "comm_world_of_mpi4py": (
        2,
        "from mpi4py import MPI as mpi\nmpi.COMM_WORLD.recv(source=1 - mpi.COMM_WORLD.rank)",
        (0, 1), (0, 1),
        ["recv(source=1, tag=ANY_TAG), line 3"],
    ),
    "window_fence_skipped": (
        2,
        "win = MPI.Win.Allocate(8, 8, comm=comm)\nif comm.rank == 0:\n    win.Fence()",
        (0,), (),
        ["rank 0 waits in Win.Fence(), line 4"],
    ),
    "split_skipped": (
        2,
        "if comm.rank == 0:\n    comm.Split(0)",
        (0,), (),
        ["rank 0 waits in Split(), line 3"],
    ),
}


@pytest.mark.parametrize("name", DEADLOCKS)
def test_deadlock_is_named(cells, name):
    num_ranks, source, stuck, cycle, phrases = DEADLOCKS[name]
    with pytest.raises(DeadlockError) as caught:
        cells.run(source, num_ranks)
    assert caught.value.graph.stuck == stuck
    assert caught.value.graph.cycle == cycle
    for phrase in phrases:
        assert phrase in str(caught.value)


MISMATCHES = {
    "bcast_against_allreduce": (
        2, "comm.bcast(1) if comm.rank == 0 else comm.allreduce(1)",
        ["rank 0 called bcast(root=0), line 2", "rank 1 called allreduce(), line 2"],
    ),
    "buffer_bcast_against_allreduce": (
        3,
        "b, c = np.zeros(2), np.zeros(2)\nif comm.rank:\n    comm.Allreduce(b, c)\nelse:\n    comm.Bcast(b)",
        ["rank 0 called Bcast(root=0), line 6", "ranks 1 and 2 called Allreduce(), line 4"],
    ),
    "different_roots": (
        2, "comm.Bcast(np.zeros(3), root=comm.rank)",
        ["rank 0 called Bcast(root=0)", "rank 1 called Bcast(root=1)"],
    ),
    "split_against_barrier": (
        2, "comm.Split(0) if comm.rank else comm.Barrier()",
        ["rank 0 called Barrier()", "rank 1 called Split()"],
    ),
    "in_a_sub_communicator": (
        4,
        "sub = comm.Split(comm.rank % 2)\nif comm.rank == 3:\n    sub.Barrier()\nelse:\n    sub.allreduce(1)",
        ["rank 1 called allreduce()", "rank 3 called Barrier()", "Split"],
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_different_collectives_are_named(cells, name):
    num_ranks, source, phrases = MISMATCHES[name]
    with pytest.raises(CollectiveMismatchError) as caught:
        cells.run(source, num_ranks)
    for phrase in phrases:
        assert phrase in str(caught.value)


FINE = {
    "sleeping_rank": "import time\nif comm.rank == 0:\n    time.sleep(4)\ncomm.Barrier()",
    "computing_rank": (
        "import time\nend = time.time() + 3\nwhile comm.rank == 0 and time.time() < end:\n    pass\n"
        "comm.bcast(comm.rank, root=0);"
    ),
    "slow_chain": (
        "import time\nfor k in range(4):\n    if comm.rank == k % comm.size:\n        time.sleep(0.8)\n"
        "    comm.Barrier()"
    ),
    "large_transfer": (
        "big = np.zeros(30_000_000)\nif comm.rank == 0:\n    comm.Send(big, 1)\n"
        "elif comm.rank == 1:\n    comm.Recv(big, 0)"
    ),
    "large_rendezvous_with_a_late_receiver": (
        "import time\nbig = np.zeros(1_000_000)\nif comm.rank == 0:\n    comm.Send(big, 1)\n"
        "elif comm.rank == 1:\n    time.sleep(2)\n    comm.Recv(big, 0)"
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_slow_is_not_stuck(cells, name):
    assert cells.run(FINE[name]).results == {}


def test_a_rank_that_sleeps_for_20_s_while_others_wait_is_no_deadlock(cells):
    cells.run("import time\nif comm.rank == 0:\n    time.sleep(20)\ncomm.Barrier()")
    assert cells.seconds >= 20


def test_exception_on_one_rank_releases_the_others(cells):
    with pytest.raises(RankFailedError) as caught:
        cells.run("if comm.rank == 1:\n    1 / 0\ncomm.Barrier()")
    text = str(caught.value)
    assert text.startswith("rank 1 raised ZeroDivisionError: division by zero")
    assert "ranks 0 and 2 wait in Barrier(), line 4" in text
    assert "labkit" not in text
    assert [status.state for status in caught.value.statuses] == ["waiting", "failed", "waiting"]


def test_equal_tracebacks_are_shown_once(cells):
    for _ in range(5):  # on a busy machine one rank may come so late that it is ended before it raises
        with pytest.raises(RankFailedError) as caught:
            cells.run("values = {}\ncomm.Barrier()\nvalues['missing']")
        if str(caught.value).startswith("ranks 0-2"):
            break
    assert str(caught.value).startswith("ranks 0-2 raised KeyError")
    assert str(caught.value).count("Traceback") == 1


def test_exception_ends_computing_ranks_too(cells):
    with pytest.raises(RankFailedError, match="rank 2 raised ValueError: no"):
        cells.run("if comm.rank == 2:\n    raise ValueError('no')\nwhile True:\n    pass")


def test_exit_code_is_a_failure_and_exit_is_not(cells):
    cells.run("import sys\nsys.exit()")
    with pytest.raises(RankFailedError, match="SystemExit"):
        cells.run("import sys\nsys.exit(3)")


DEATHS = {
    "os_exit": ("import os\nif comm.rank == 1:\n    os._exit(3)\ncomm.Barrier()", 1, "exit code 3"),
    "sigkill": (
        "import os, signal\nif comm.rank == 2:\n    os.kill(os.getpid(), signal.SIGKILL)\ncomm.Barrier()",
        2, "signal 9 (SIGKILL)",
    ),
    "segmentation_fault": (
        "import ctypes\nif comm.rank == 0:\n    ctypes.string_at(0)\ncomm.Barrier()", 0, "segmentation fault",
    ),
    "abort": ("if comm.rank == 1:\n    comm.Abort(5)\ncomm.Barrier()", 1, "called MPI Abort(5)"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_death_of_a_rank_is_named(cells, name):
    source, rank, phrase = DEATHS[name]
    with pytest.raises(RankDiedError) as caught:
        cells.run(source)
    assert str(caught.value).startswith(f"rank {rank} ")
    assert phrase in str(caught.value)
    assert "variables of the ranks are lost" in str(caught.value)
    assert caught.value.statuses[rank].state == "died"


def test_a_rank_killed_between_cells_is_noticed(cells):
    cells.run("x = 1")
    os.kill(cells.engines.ranks[1].pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not cells.engines.lost() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cells.engines.lost()


def test_an_allocation_beyond_memory_is_an_exception(cells):
    with pytest.raises(RankFailedError, match="MemoryError"):
        cells.run("np.ones(10 ** 14)")


def press_stop(after_s):
    main = threading.main_thread().ident
    threading.Timer(after_s, signal.pthread_kill, (main, signal.SIGINT)).start()


def test_stop_during_a_wait(cells):
    cells.run("import time", 2)
    press_stop(1.0)
    with pytest.raises(CellInterruptedError) as caught:
        cells.run("if comm.rank == 0:\n    time.sleep(60)\ncomm.Barrier()", 2)
    assert "rank 1 waits in Barrier(), line 4" in str(caught.value)
    assert "rank 0 computes, line 3" in str(caught.value)
    assert cells.seconds < 20


def test_stop_during_an_endless_loop(cells):
    cells.run("kept = comm.rank", 2)
    press_stop(0.7)
    with pytest.raises(CellInterruptedError, match="ranks 0 and 1 compute, line"):
        cells.run("while True:\n    pass", 2)
    assert cells.values("kept", 2) == ["0", "1"]  # nothing was lost


def test_stop_of_a_rank_that_refuses_to_stop(cells):
    cells.run("import time", 2)
    press_stop(0.7)
    with pytest.raises(CellInterruptedError):
        cells.run("while True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass", 2)
    assert cells.engines.num_ranks == 0  # they had to be ended


def test_an_interrupt_that_comes_when_the_code_has_ended(cells):
    """As the second one does that a busy machine delivers late."""
    with pytest.raises(RankFailedError, match="Slow"):
        cells.run(
            "import os, signal, time\n"
            "class Slow(Exception):\n"
            "    def __str__(self):\n"
            "        os.kill(os.getpid(), signal.SIGINT)\n"
            "        time.sleep(0.1)\n"
            "        return 'words'\n"
            "raise Slow",
            2,
        )
    assert "KeyboardInterrupt" not in str(cells.printed)
    press_stop(0.7)
    with pytest.raises(CellInterruptedError, match="ranks 0 and 1 compute, line"):
        cells.run("while True:\n    pass", 2)


def test_plain_mpi4py_call_that_hangs_is_ended_by_timeout(cells):
    with pytest.raises(CellTimeoutError):
        cells.run("comm.raw.recv(source=1 - comm.rank)", 2, timeout_s=1)


def test_timeout_says_what_each_rank_did(cells):
    with pytest.raises(CellTimeoutError) as caught:
        cells.run("if comm.rank == 0:\n    while True:\n        pass\ncomm.recv(source=0)", 2, timeout_s=1.5)
    assert "--timeout of 1.5 s" in str(caught.value)
    assert "rank 1 waits in recv(source=0, tag=ANY_TAG), line 5" in str(caught.value)


def test_50_mb_of_text(cells):
    outcome = cells.run("for i in range(1000):\n    print('x' * 50_000)\nprint('the end', comm.rank)\n1", 2)
    assert len(outcome.results) == 2
    for rank in (0, 1):
        assert len(cells.printed[rank]) < 300_000
        assert cells.printed[rank].startswith("xxxx")
        assert cells.printed[rank].endswith(f"the end {rank}\n")
        assert "characters are not shown" in cells.printed[rank]


def test_output_arrives_while_the_cell_runs(cells, tmp_path):
    seen = tmp_path / "seen"
    source = (
        f"import pathlib, time\nseen = pathlib.Path({str(seen)!r})\nif comm.rank == 1:\n    print('are you there?')\n"
        "    while not seen.exists():\n        time.sleep(0.05)\n"
    )
    cells.run("pass", 2)
    listener = Listener(text=lambda rank, stream, text: "are you there?" in text and seen.touch())
    run_cell(cells.engines, source, listener=listener, timeout_s=60)
    assert seen.exists()


def test_a_log_handler_of_an_earlier_cell_goes_on(cells):
    cells.run("import logging, sys\nlogging.basicConfig(stream=sys.stdout, force=True)", 2)
    for number in range(3):
        cells.run(f"logging.warning('x' * 150_000 + ' message {number}')", 2)
        assert cells.printed[0].endswith(f" message {number}\n")


def test_variables_stay_and_comm_is_fresh(cells):
    cells.run("x = comm.rank * 10\ncomm.isend('stray', (comm.rank + 1) % comm.size, 99).Free()", 2)
    assert cells.values("x, comm.iprobe()", 2) == ["(0, False)", "(10, False)"]


def test_sub_communicators_live_on(cells):
    cells.run("half = comm.Split(comm.rank % 2)", 4)
    assert cells.values("half.allreduce(comm.rank)", 4) == ["2", "4", "2", "4"]


def test_chosen_ranks_only(cells):
    outcome = cells.run("comm.rank", 4, ranks=[0, 2])
    assert {rank: r["data"]["text/plain"] for rank, r in outcome.results.items()} == {0: "0", 2: "2"}
    with pytest.raises(DeadlockError, match="ranks 1 and 3 do not take part"):
        cells.run("comm.Barrier()", 4, ranks=[0, 2])


def test_unsafe_sends_are_shown(cells):
    exchange = "b = np.zeros(1)\ncomm.Send(b, 1 - comm.rank)\ncomm.Recv(b, 1 - comm.rank)"
    cells.run(exchange, 2)  # 8 bytes go through without their receive
    with pytest.raises(DeadlockError, match=r"Send\(dest=1, tag=0\) of 8 bytes, line 3"):
        cells.run(exchange, 2, check_unsafe_sends=True)


def test_open_requests_are_reported_and_cancelled(cells):
    outcome = cells.run("r = comm.Irecv(np.zeros(1), 1 - comm.rank, 5)", 2)
    assert outcome.left_over == {
        0: ["Irecv(source=1, tag=5), line 2"],
        1: ["Irecv(source=0, tag=5), line 2"],
    }


def test_communicators_of_past_cells_are_given_back(cells):
    cells.run("from labkit.cluster import rank as engine; kept = comm", 2)
    for _ in range(engine_keeps := 40):
        cells.run("comm.isend('never received', 1 - comm.rank, 99).Free()", 2)
    alive = "sum(c != MPI.COMM_NULL for c in engine._state.retired)"
    assert cells.values(alive, 2) == ["32", "32"]
    assert engine_keeps > 32
    assert cells.values("kept.allreduce(1), comm.iprobe()", 2) == ["(2, False)"] * 2


def test_results_of_past_cells_are_given_back(cells):
    cells.run("pass", 2)
    client = cells.engines._client
    before = len(client.metadata), len(client.results)
    for _ in range(10):
        cells.run("print('x' * 1000)\n'y' * 1000", 2)
    assert (len(client.metadata), len(client.results)) == before


def test_sub_communicators_can_be_freed(cells):
    for _ in range(3):
        freed = "subs = [comm.Dup() for _ in range(400)]\nfor sub in subs:\n    sub.Free()\nsum(s == MPI.COMM_NULL for s in subs)"
        assert cells.values(freed, 2) == ["400", "400"]


def test_display_and_rich_results_keep_their_form(cells):
    outcome = cells.run("class Rich:\n    def _repr_html_(self):\n        return f'<b>{comm.rank}</b>'\nRich()", 2)
    assert [r["data"]["text/html"] for r in outcome.results.values()] == ["<b>0</b>", "<b>1</b>"]


def test_a_huge_result_is_cut(cells):
    outcome = cells.run("'y' * 5_000_000", 2)
    assert len(outcome.results[0]["data"]["text/plain"]) < 10_000


def test_an_exception_that_cannot_be_printed(cells):
    with pytest.raises(RankFailedError):
        cells.run("class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Odd")
