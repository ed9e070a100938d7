"""The checks of ranks/ on real ranks: one launch for each number of ranks, because importing torch takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
from checks_on_ranks import names_of_checks, outcomes, see_that_it_is_well

from labkit.cluster.cell import run_cell
from labkit.cluster.engines import LocalEngines
from labkit.errors import RankFailedError, UsageError
from labkit.training.pipeline.on_ranks import from_json, run_on_ranks, to_json
from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.simulate import StageTimes

RANKS = Path(__file__).parent / "ranks"
MACHINES = {"2-interruptible": (2, "--interruptible"), "4": (4,)}
DEADLINE_S = 240


@pytest.mark.mpi
@pytest.mark.timeout(DEADLINE_S + 60)
@pytest.mark.parametrize("check", names_of_checks(RANKS))
@pytest.mark.parametrize("machine", MACHINES)
def test_on_real_ranks(machine, check):
    see_that_it_is_well(outcomes(RANKS, *MACHINES[machine], deadline_s=DEADLINE_S), check)


@pytest.mark.mpi
@pytest.mark.timeout(200)
def test_ranks_that_a_notebook_starts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan, told = make_plan("zb-h1", 3, 4), []
    run = run_on_ranks(plan, times=StageTimes(0.004, 0.004, 0.003), num_steps=3, progress=told.append, deadline_s=150)
    assert run.plan == plan and told and run.difference < 1e-5 and len(run.losses) == 3
    assert all(b - a >= 0.003 for row in zip(run.measured.start_s, run.measured.end_s, strict=True)
               for a, b in zip(*row, strict=True))
    assert "ranks" in str(run) and all(memory.peak > 0 for memory in run.memory)
    assert from_json(plan, to_json(run)) == run

    def stop(text):
        raise RuntimeError("Stop")

    with pytest.raises(RuntimeError, match="Stop"):
        run_on_ranks(plan, num_steps=10**6, progress=stop)
    with pytest.raises(UsageError, match="at most 16"):
        run_on_ranks(make_plan("gpipe", 17, 2))


TORCHRUN = """
import sys
sys.path.insert(0, {folder!r})
import torch; torch.set_num_threads(1)
import cases
from labkit.comm.torch import communicator
from labkit.training import train_serial
from labkit.training.pipeline.strategy import train_pipeline
comm = communicator()
for name in ("mlp", "classifier"):
    make, data = cases.MODELS[name]
    report = train_pipeline(comm, make(), data, cases.OPTIONS, plan="zb-h1")
    if comm.rank == 0:
        print(report.losses == train_serial(make(), data, cases.OPTIONS).losses, flush=True)
"""


@pytest.mark.mpi
@pytest.mark.timeout(200)
def test_gloo_under_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    program = tmp_path / "program.py"
    program.write_text(TORCHRUN.format(folder=str(Path(__file__).parent)))
    torchrun = Path(sys.executable).with_name("torchrun")
    done = subprocess.run(
        [str(torchrun), "--standalone", "--nproc-per-node", "2", str(program)], capture_output=True, text=True,
        timeout=180, cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["True"] * 2


CELL = """
import torch; torch.set_num_threads(1)
from labkit.training import *
from labkit.training.pipeline.strategy import train_pipeline
data = load_digits().head(60)
options = TrainingOptions(num_steps=3, batch_size=14, num_micro_batches=4)
"""


@pytest.mark.mpi
@pytest.mark.timeout(200)
def test_cells_of_real_ranks():
    engines = LocalEngines()
    engines.start(2)
    try:
        run_cell(engines, CELL)
        outcome = run_cell(
            engines, "report = train_pipeline(comm, make_model('mlp', data, hidden=(16, 16)), data, options, plan='1f1b')\n"
            "report.num_ranks, report.details.plan.name, report.replicas_are_equal",
        )
        texts = [bundle["data"]["text/plain"] for bundle in outcome.results.values()]
        assert texts == ["(2, '1f1b', True)"] * 2
        with pytest.raises(RankFailedError, match="cannot be cut into 3 stages"):
            run_cell(engines, "train_pipeline(comm, make_model('mlp', data, hidden=(16,)), data, options, partition=3)")
        outcome = run_cell(engines, "comm.allreduce(1)")
        assert [bundle["data"]["text/plain"] for bundle in outcome.results.values()] == ["2"] * 2
    finally:
        engines.stop()
