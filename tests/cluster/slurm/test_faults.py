"""What goes wrong on a cluster: each cell returns with the cause in words, the next one starts again."""

import pytest
from notebook_process import Notebook

pytestmark = pytest.mark.timeout(500)
USER = "labkit-a"
SLEEP = "%%mpi\nimport time\nprint('begun', flush=True)\nfor _ in range(600): time.sleep(0.1)\ncomm.barrier()"
START = "%cluster start slurm -n 4 --nodes 2 --time 20"


def jobs(slurm):
    return slurm.as_root("ctl", "squeue", "-h", "-o", "%i").stdout.split()


@pytest.fixture
def notebook(slurm):
    slurm.clear()
    notebook = Notebook(slurm, USER)
    yield notebook
    notebook.end()
    slurm.wait_until(lambda: not jobs(slurm), 60, "no job is left")


def started(notebook, words=START, timeout=120):
    given = notebook.run(words, timeout)
    assert not given.error, given.text
    return given


def begun(notebook):
    notebook.send(SLEEP)
    notebook.wait_for_text("begun")


def works_again(notebook, timeout=150):
    given = notebook.run("%%mpi\nprint('sum', comm.allreduce(1))", timeout)
    assert not given.error, f"{given.message}\n{given.text}"
    assert given.text.count("sum 4") == 4
    return given


def test_a_killed_rank(notebook, slurm):
    started(notebook)
    (job,) = jobs(slurm)
    given = notebook.run("%%mpi\nimport os, signal\nif comm.rank == 2: os.kill(os.getpid(), signal.SIGKILL)\ncomm.barrier()")
    assert given.error == "RankDiedError" and "rank 2 was ended by signal 9 (SIGKILL)" in given.message
    assert "All variables of the ranks are lost" in given.message
    works_again(notebook)
    assert jobs(slurm) == [job]  # no second wait in the queue


def test_os_exit_segmentation_fault_and_abort(notebook):
    started(notebook)
    given = notebook.run("%%mpi\nimport os\nif comm.rank == 3: os._exit(7)\ncomm.barrier()")
    assert given.error == "RankDiedError" and "rank 3 ended its process with exit code 7" in given.message
    given = notebook.run("%%mpi\nimport ctypes\nif comm.rank == 1: ctypes.string_at(0)\ncomm.barrier()")
    assert given.error == "RankDiedError" and "rank 1" in given.message and "segmentation fault" in given.message
    given = notebook.run("%%mpi\nif comm.rank == 0: comm.Abort(5)\ncomm.barrier()")
    assert given.error == "RankDiedError" and "called MPI Abort(5)" in given.message
    works_again(notebook)


def test_scancel(notebook, slurm):
    started(notebook)
    begun(notebook)
    slurm.as_user(USER, "ctl", "scancel", *jobs(slurm), check=True)
    given = notebook.wait(40)
    assert given.error == "RankDiedError" and "cancelled" in given.message and "job" in given.message, given.message
    assert "variables" in given.message
    works_again(notebook)


def test_the_time_limit_of_the_job(notebook, slurm):
    started(notebook)
    begun(notebook)
    slurm.expire(*jobs(slurm))
    given = notebook.wait(100)
    assert given.error == "RankDiedError" and "time limit" in given.message, given.message
    works_again(notebook)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_node_crashes_in_the_middle_of_a_cell(notebook, slurm, node):
    started(notebook)
    begun(notebook)
    slurm.crash(node)
    given = notebook.wait(90)
    assert given.error == "RankDiedError" and node in given.message, given.message
    slurm.heal()
    works_again(notebook)


def test_preemption_with_requeue(notebook, slurm):
    started(notebook, f"{START} --partition low")
    begun(notebook)
    other = slurm.submit("labkit-b", "--partition=high", "-N2", "-n8", "--exclusive", "--wrap", "sleep 15")
    given = notebook.wait(90)
    assert given.error == "RankDiedError" and "preempt" in given.message.lower(), given.message
    slurm.as_root("ctl", "scancel", other)
    works_again(notebook)


def test_the_network_of_the_controller_is_gone_for_a_moment(notebook, slurm):
    started(notebook)
    notebook.send("%%mpi\nprint('begun', flush=True)\nimport time\ntime.sleep(9)\nprint('sum', comm.allreduce(1))")
    notebook.wait_for_text("begun")
    slurm.cut("ctl")
    import time

    time.sleep(5)
    slurm.mend("ctl")
    given = notebook.wait(90)
    assert not given.error and given.text.count("sum 4") == 4, given.text


def test_the_network_of_the_controller_is_gone(notebook, slurm):
    started(notebook)
    begun(notebook)
    slurm.cut("ctl")
    given = notebook.wait(120)
    assert given.error == "RankDiedError" and "node n1" in given.message and "network" in given.message
    slurm.heal()
    works_again(notebook, 200)
