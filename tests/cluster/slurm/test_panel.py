"""The panel of clusters on a real Slurm: a queued job and its reason, a start, nodes and ranks, a stop."""

import pytest
from notebook_process import Notebook

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(300)]

MAKE = """
%load_ext labkit
import time
panel = get_ipython().run_line_magic("cluster", "panel")
def until(condition, patience_s=90):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, (panel.message.value, panel.text())
        time.sleep(0.05)
"""

@pytest.fixture
def notebook(slurm):
    one = Notebook(slurm, slurm.users[0])
    given = one.run(MAKE)
    assert not given.error, given.text + given.message
    yield one
    one.end()


def run(notebook, text):
    given = notebook.run(text, timeout=150)
    assert not given.error, f"{given.error}: {given.message}\n{given.text}"
    return given


def test_start_look_and_stop(notebook, slurm):
    user = slurm.users[0]
    given = run(notebook, (
        "form = panel.form\n"
        "form.where.value, form.num_ranks.value, form.num_nodes.value, form.time.value = 'slurm', '4', '2', '5'\n"
        "form.start_button.click()\n"
        "print([form.script.value])"
    ))
    assert "#SBATCH --ntasks=4" in given.value()[0] and "#SBATCH --time=00:05:00" in given.value()[0]
    assert slurm.as_user(user, "ctl", "squeue", "--me", "--noheader").stdout == ""  # nothing is submitted yet
    given = run(notebook, (
        "form.submit_button.click()\n"
        "assert panel.actions.wait(100), panel.message.value\n"
        "panel.refresh()\n"
        "print([panel.message.value, panel.rows[0].sentence, panel.rows[0].is_own,"
        " [(n.name, [(r.rank, r.state) for r in n.ranks]) for n in panel.map.nodes], len(panel.rows)])"
    ))
    message, sentence, is_own, nodes, num_rows = given.value()
    assert "the next %%mpi cells run there" in message
    assert is_own and num_rows == 1 and "is running" in sentence and "n1" in sentence and "n2" in sentence
    assert sorted(name for name, _ in nodes) == ["n1", "n2"]
    assert sorted(rank for _, ranks in nodes for rank, _ in ranks) == [0, 1, 2, 3]
    assert all(len(ranks) == 2 for _, ranks in nodes)
    given = run(notebook, "%%mpi\nprint(comm.allreduce(1), MPI.Get_processor_name())")
    assert given.text.count("4 n1") == 2 and given.text.count("4 n2") == 2, given.text
    run(notebook, (
        "panel.stop_button.click()\n"
        "assert 'is cancelled' in panel.question.value\n"
        "panel.yes_button.click()\n"
        "assert panel.actions.wait(60), panel.message.value\n"
        "panel.refresh()\n"
        "assert 'have been ended' in panel.message.value and panel.rows == (), panel.message.value"
    ))
    slurm.wait_until(lambda: slurm.as_user(user, "ctl", "squeue", "--me", "--noheader").stdout == "", timeout=60)


def test_a_start_that_waits_is_seen_and_cancelled(notebook, slurm):
    user = slurm.users[0]
    given = run(notebook, (
        "form = panel.form\n"
        "form.where.value, form.num_ranks.value, form.more.value = 'slurm', '2', '--directive=--begin=now+1hour'\n"
        "form.start_button.click()\n"
        "form.submit_button.click()\n"
        "until(lambda: 'is queued' in panel.message.value)\n"
        "panel.refresh()\n"
        "row = panel.rows[0]\n"
        "print([row.word, row.sentence])"
    ))
    word, sentence = given.value()
    assert word == "queued" and "is queued" in sentence and "time to begin has not come" in sentence
    run(notebook, (
        "panel.cancel_button.click()\n"
        "assert panel.actions.wait(60), panel.message.value\n"
        "panel.refresh()\n"
        "assert 'Cancelled: start.' in panel.message.value and panel.rows == (), (panel.message.value, panel.text())"
    ))
    slurm.wait_until(lambda: slurm.as_user(user, "ctl", "squeue", "--me", "--noheader").stdout == "", timeout=60)


def test_a_refusal_is_a_sentence(notebook):
    given = run(notebook, (
        "form = panel.form\n"
        "form.where.value, form.num_ranks.value, form.more.value = 'slurm', '2', '--partition no-such'\n"
        "form.start_button.click()\n"
        "form.submit_button.click()\n"
        "assert panel.actions.wait(60)\n"
        "print([panel.message.value])"
    ))
    assert "there is no such partition here" in given.value()[0] and "Traceback" not in given.value()[0]
