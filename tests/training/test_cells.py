"""Trainers in notebooks, in cells of real and of simulated ranks, and under torchrun."""

import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from labkit.cluster.cell import run_cell
from labkit.cluster.engines import LocalEngines
from labkit.cluster.outcome import Listener
from labkit.errors import CellInterruptedError, RankFailedError

START = """
import torch; torch.set_num_threads(1)
from labkit.training import *
data = load_digits()
options = TrainingOptions(num_steps=8, batch_size=62)
model = make_model("mlp", data, hidden=(16,))
"""


@pytest.fixture(scope="module")
def engines():
    engines = LocalEngines()
    engines.start(3)
    yield engines
    engines.stop()


@pytest.mark.mpi
def test_cell_of_real_ranks(engines):
    printed = []

    def run(source):
        return run_cell(engines, source, listener=Listener(text=lambda rank, stream, text: printed.append((rank, text))))

    run(START)
    outcome = run("report = train(comm, model, data, options)\nreport.num_ranks, report.num_steps, report.replicas_are_equal")
    assert [bundle["data"]["text/plain"] for bundle in outcome.results.values()] == ["(3, 8, True)"] * 3
    assert printed == []  # too short for a line of progress
    with pytest.raises(RankFailedError, match="different models"):
        run("train(comm, make_model('mlp', data, seed=comm.rank), data, options)")
    timer = threading.Timer(5, _stop_main)
    timer.start()
    with pytest.raises(CellInterruptedError):
        run("train(comm, make_model('mlp', data), data, options.replace(num_steps=10**7))")
    timer.join()
    assert [rank for rank, text in printed if "loss" in text and f"of {10**7}" in text].count(0) == len(printed) >= 1
    outcome = run("sum(t.name == 'labkit communication' for t in __import__('threading').enumerate()), comm.allreduce(1)")
    assert [bundle["data"]["text/plain"] for bundle in outcome.results.values()] == ["(0, 3)"] * 3


def _stop_main():
    import _thread

    _thread.interrupt_main()


def test_notebook_and_simulated_cell(tmp_path):
    cells = [
        "%load_ext labkit",
        START + "print(train_serial(model, data, options).num_steps)",
        f"%%mpi --sim 4\n{START}report = train(comm, model, data, options, algorithm='ring')\n"
        "if comm.rank == 3: print(report.num_ranks, report.replicas_are_equal, report.num_messages[0], "
        "bool(report.times.communication_s.sum() > 0))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=90, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    shown = [o for o in outputs[1] if o.output_type == "display_data"]
    assert [o.data["text/plain"] for o in shown][-1].startswith("[" + "#" * 24 + "] step 8 of 8")  # one line, replaced
    assert len(shown) == 1 and "".join(o.get("text", "") for o in outputs[1]) == "8\n"
    assert "4 True 48 True" in "".join(o.get("text", "") for o in outputs[2])
    assert not [o for part in outputs for o in part if o.get("name") == "stderr"]


TORCHRUN = """
import torch; torch.set_num_threads(1)
from labkit.comm.torch import communicator
from labkit.training import TrainingOptions, load_digits, make_model, train
from labkit.training.data_parallel.equivalence import check_equivalence
comm, data = communicator(), load_digits().head(43, 20)
for name, settings in (("overlapped", {"bucket_bytes": 900, "algorithm": "ring"}), ("overlapped", {}), ("torch_ddp", {})):
    found = check_equivalence(comm, lambda: make_model("mlp", data, hidden=(16,)), data,
                              TrainingOptions(num_steps=20, batch_size=9), name, **settings)
    if comm.rank == 0:
        print(found.num_ranks, found.is_right, flush=True)
"""


@pytest.mark.mpi
def test_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    program = tmp_path / "program.py"
    program.write_text(TORCHRUN)
    torchrun = Path(sys.executable).with_name("torchrun")
    done = subprocess.run(
        [str(torchrun), "--standalone", "--nproc-per-node", "2", str(program)], capture_output=True, text=True, timeout=100,
        cwd=Path(__file__).parents[2], env=None,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["2 True"] * 3
