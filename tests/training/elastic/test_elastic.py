"""Ranks leave, die, stall and come: the run ends as one without faults, and says what it cost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import TrainingError, UsageError
from labkit.training.checkpoint import CheckpointFolder
from labkit.training.elastic import FaultPlan, Job, run_elastic
from labkit.training.elastic.plan import Fault

ROOT = Path(__file__).parents[3]
JOB = Job(arguments={"num_steps": 36, "hidden": [16], "batch_size": 64, "dropout": 0.2})
PLAIN = Job(arguments={"num_steps": 36, "hidden": [16], "batch_size": 64})
pytestmark = pytest.mark.timeout(280)


def serial_losses():
    from labkit.training.serial import train_serial

    model, data, options = PLAIN.build()
    return train_serial(model, data, options, progress=False).losses


def test_spares_take_the_places_of_the_dead_and_the_curve_is_the_same_bit_by_bit(tmp_path):
    whole = run_elastic(JOB, 2, every_steps=10)
    assert [w.ended_by for w in whole.worlds] == ["the end"] and whole.lost_steps == 0 and len(whole.losses) == 36
    told = []
    plan = "kill rank 0 at step 13; kill rank 1 while it writes step 20"
    report = run_elastic(JOB, 2, folder=tmp_path, every_steps=10, plan=plan, num_spares=2, progress=told.append)
    assert report.losses == whole.losses and report.digests == whole.digests and report.replicas_are_equal
    assert report.accuracy == whole.accuracy
    firsts = [world.first_step for world in report.worlds]
    assert [len(w.workers) for w in report.worlds] == [2, 2, 2] 
    # A checkpoint is written while training goes on: that of step 10 may not have been complete at step 13.
    assert firsts[0] == 0 and set(firsts[1:]) <= {0, 10} and report.worlds[0].last_step == 13
    assert 20 <= report.worlds[1].last_step <= 23
    assert [r.lost_steps for r in report.recoveries] == [13 - firsts[1], report.worlds[1].last_step - firsts[2]]
    assert "rank 0 killed by SIGKILL" in report.worlds[0].ended_by and "rank 1" in report.worlds[1].ended_by
    assert all(0 < r.recovery_s <= r.caught_up_s for r in report.recoveries)
    # What was lost was computed again to the same bits.
    by_step = {}
    for step in report.steps:
        by_step.setdefault(step.step, set()).add(step.loss)
    assert all(len(losses) == 1 for losses in by_step.values()) and sorted(by_step) == list(range(1, 37))
    assert CheckpointFolder(tmp_path).steps[-1] == 36
    assert any("step 36 of 36" in words or "; 2 ranks" in words for words in told)


def test_notices_a_machine_that_joins_and_a_stalled_rank(tmp_path):
    plan = "notice to rank 0 at step 7, 100 s; join at step 15; stall rank 1 at step 22; slow rank 0 at step 3 by 0.01 s for 2 steps"
    notices = tmp_path / "notices"
    notices.mkdir()
    (notices / "worker-9").touch()  # of another machine
    report = run_elastic(PLAIN, 3, folder=tmp_path / "run", every_steps=10, plan=plan, stall_s=8, notice_folder=notices)
    sizes = [len(world.workers) for world in report.worlds]
    assert sizes == [3, 2, 3, 2]
    firsts = [world.first_step for world in report.worlds]
    assert firsts[:3] == [0, 7, 15] and firsts[3] in (15, 20)  # nothing is lost by a notice or a join
    assert [r.lost_steps for r in report.recoveries] == [0, 0, 22 - firsts[3]]
    ends = [world.ended_by for world in report.worlds]
    assert "notice to rank 0" in ends[0] and "joins" in ends[1] and "rank 1 killed" in ends[2] and ends[3] == "the end"
    assert any(h.kind == "stall" for h in report.happenings)
    np.testing.assert_allclose(report.losses, serial_losses(), rtol=2e-5)  # sums in another order, on other numbers of ranks
    assert report.replicas_are_equal and len(set(report.digests)) == 1


def test_what_cannot_go_on_says_why_and_ends_all_its_processes(tmp_path):
    with pytest.raises(TrainingError, match="rank 0: .*not finite.*A checkpoint of step .*checkpoints are in"):
        run_elastic(Job(arguments={"num_steps": 30, "learning_rate": 1e38}), 1, folder=tmp_path, every_steps=2)
    assert CheckpointFolder(tmp_path).steps
    with pytest.raises(TrainingError, match="cannot be found"):
        run_elastic(Job("no.such.module:function"), 1)
    with pytest.raises(TrainingError, match="no worker is left"):
        run_elastic(PLAIN, 1, plan="kill rank 0 at step 3")
    for arguments in ({"num_workers": 0}, {"num_workers": 2.0}, {"plan": "explode"}, {"stall_s": 0}, {"num_spares": -1}):
        with pytest.raises(UsageError):
            run_elastic(PLAIN, **arguments)


def test_no_worker_outlives_its_supervisor(tmp_path):
    import psutil

    program = (
        "from labkit.training.elastic import Job, run_elastic\n"
        "run_elastic(Job(arguments={'num_steps': 1000000}), 2, progress=lambda text: print(text, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    try:
        children = []
        for line in process.stdout:
            children = psutil.Process(process.pid).children()
            if "step" in line and "of 1000000" in line:
                break
        assert len(children) == 2
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_plans():
    text = (
        "slow rank 0 at step 5 by 0.1 s for 3 steps; kill rank 1 at step 12; notice to rank 2 at step 20, 120 s; "
        "stall rank 1 at step 25; join at step 30; kill rank 3 while it writes step 40"
    )
    plan = FaultPlan.parse(text)
    assert str(plan) == text and FaultPlan.parse(plan) is plan and len(FaultPlan.parse("")) == len(FaultPlan.parse(None)) == 0
    assert plan.faults[2] == Fault("notice", 20, 2, 120.0) == FaultPlan.parse("notice to rank 2 at step 20").faults[0]
    for bad in ("kill rank one at step 2", "kill rank 1 at step 2,", "kill rank -1 at step 2", "join", "slow rank 0 at step 1"):
        with pytest.raises(UsageError, match="is no fault. Say, for example"):
            FaultPlan.parse(bad)
    assert list(FaultPlan.parse("join at step 9; join at step 3"))[0].step == 3
