"""Cells of a user's notebook on two nodes: everything of %%mpi works there."""

import re

import pytest
from notebook_process import Notebook

pytestmark = pytest.mark.timeout(500)
USER = "labkit-a"


@pytest.fixture(scope="module")
def notebook(slurm):
    notebook = Notebook(slurm, USER)
    given = notebook.run("%cluster start slurm -n 4 --nodes 2 --time 20")
    assert not given.error, given.text
    assert "4 MPI ranks started on 2 nodes (n1, n2)" in given.text
    yield notebook
    notebook.end()
    slurm.wait_until(lambda: not slurm.as_root("ctl", "squeue", "-h").stdout.strip(), 60, "no job is left")
    left = slurm.as_user(USER, "ctl", "sh", "-c", "find ~/.labkit/clusters ~/.local/state/labkit/clusters -mindepth 1").stdout
    assert left == ""


def mpi(notebook, text, options="", **more):
    given = notebook.run(f"%%mpi {options}\n{text}", **more)
    assert not given.error, f"{given.message}\n{given.text}"
    return given.text


def test_ranks_are_on_two_nodes_and_one_world(notebook):
    text = mpi(notebook, "import platform\nprint(comm.rank, platform.node(), comm.allreduce(comm.rank))")
    assert sorted(re.findall(r"(\d) (n\d) (\d+)", text)) == [
        ("0", "n1", "6"), ("1", "n1", "6"), ("2", "n2", "6"), ("3", "n2", "6"),
    ]


def test_output_streams_by_rank_while_the_cell_runs(notebook):
    notebook.send("%%mpi\nimport time\nprint('early from', comm.rank, flush=True)\ntime.sleep(6)\nprint('late')")
    notebook.wait_for_text("early from 3", 5)
    assert "late" not in notebook.shown()
    assert notebook.wait().text.count("late") == 4


def test_variables_stay_between_cells(notebook):
    mpi(notebook, "kept = comm.rank ** 2")
    assert sorted(re.findall(r"kept (\d)", mpi(notebook, "print('kept', kept)"))) == ["0", "1", "4", "9"]


def test_the_first_failure_ends_the_cell_and_the_ranks_live(notebook):
    mpi(notebook, "mark = 1")
    given = notebook.run("%%mpi\nif comm.rank == 2:\n    1 / 0\ncomm.barrier()")
    assert given.error == "RankFailedError" and "rank 2" in given.message and "ZeroDivisionError" in given.message
    mpi(notebook, "assert mark == 1 and comm.allreduce(1) == 4")


def test_a_deadlock_over_two_nodes_is_named(notebook):
    given = notebook.run("%%mpi\ncomm.recv(source=(comm.rank + 1) % comm.size)")
    assert given.error == "DeadlockError" and "cycle" in given.message
    mpi(notebook, "assert comm.allreduce(1) == 4")


def test_interrupt_and_time_limit(notebook):
    notebook.send("%%mpi\nprint('begun', flush=True)\nimport time\nwhile True: time.sleep(0.1)")
    notebook.wait_for_text("begun")
    notebook.interrupt()
    assert notebook.wait(30).error == "CellInterruptedError"
    given = notebook.run("%%mpi --timeout 1\nimport time\nif comm.rank: time.sleep(100)\ncomm.barrier()")
    assert given.error == "CellTimeoutError"
    mpi(notebook, "assert comm.allreduce(1) == 4")


def test_trace_puts_the_clocks_of_the_nodes_together(notebook):
    # The hosts of the test cluster have clocks 1000 s apart.
    mpi(notebook, "import time\nfor _ in range(20): comm.barrier()\ncomm.barrier()", "--trace")
    given = notebook.run(
        "spans = [s for s in _timeline.spans if 'arrier' in s.name]\n"
        "last = {s.rank: s for s in spans}\n"
        "print([min(s.end_ns for s in last.values()) - max(s.start_ns for s in last.values()), len(last)])"
    )
    assert not given.error, given.text
    overlap_ns, num_ranks = given.value()
    assert num_ranks == 4 and overlap_ns > -20_000_000  # in a barrier, nobody leaves before the last has come


def test_push_and_pull_of_100_megabytes(notebook):
    given = notebook.run(
        "import numpy as np\ndata = np.random.default_rng(1).random(12_500_000)\n%mpi_push data", timeout=120
    )
    assert not given.error, given.text
    mpi(notebook, "part = data[comm.rank::comm.size].copy(); total = float(data.sum())")
    given = notebook.run(
        "%mpi_pull part total\nwhole = np.empty_like(data)\nfor r in range(4): whole[r::4] = part[r]\n"
        "print([bool((whole == data).all()), len(set(total)), bool(abs(total[0] - data.sum()) < 1e-3)])", timeout=120,
    )
    assert given.value() == [True, 1, True], given.text


def test_fewer_ranks_in_the_same_job(notebook):
    job = notebook.run("%cluster status").text
    given = notebook.run("%%mpi -n 2\nprint('two', comm.size)")
    assert given.text.count("two 2") == 2, given.text
    given = notebook.run("%%mpi -n 9\npass")
    assert given.error == "UsageError" and "started for 4 ranks" in given.message
    given = notebook.run("%%mpi -n 4\nprint('four', comm.size)")
    assert given.text.count("four 4") == 4
    number = re.search(r"job (\d+)", job)[1]
    assert f"job {number}" in notebook.run("%cluster status").text


def test_the_verbs(notebook, slurm):
    status = notebook.run("%cluster status").text
    assert "4 ranks on Slurm cluster 'slurm', MPICH" in status and "n1: rank 0, 1" in status and "n2: rank 2, 3" in status
    assert "slurm: slurm, 4 ranks on n1, n2, job" in notebook.run("%cluster list").text
    assert "== world-" in notebook.run("%cluster logs").text
    script = notebook.run("%cluster start slurm -n 2 --dry-run").text
    assert "#SBATCH --ntasks=2" in script and "keeper" in script
    listed = slurm.as_user(USER, "ctl", "labkit", "cluster", "list").stdout
    assert "slurm: slurm, 4 ranks" in listed


def test_the_cell_goes_back_to_this_machine(notebook):
    given = notebook.run("%cluster stop")
    assert "have been ended" in given.text
    given = notebook.run("%%mpi -n 2\nimport platform\nprint('at', platform.node())")
    assert given.text.count("at ctl") == 2, given.text
    assert "No clusters" in notebook.run("%cluster list").text
    notebook.run("%mpi_stop")
