"""The comparison of strategies as a widget: on real ranks, stopped, and with choices that make no sense."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import NotAvailableError, UsageError
from labkit.training.compare import ALL, compare
from labkit.training.compare_ranks import MODELS, compare_on_ranks
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.widgets.training import StrategyComparison


def simulated(num_ranks, model, *, strategies, num_steps, progress):
    """The same table from simulated ranks: quick."""
    progress(f"{model} on {num_ranks}")
    data = load_digits()
    options = TrainingOptions(num_steps=num_steps, batch_size=16)
    make = lambda: make_model("mlp", data, hidden=(8,))  # noqa: E731
    return simulate(num_ranks, lambda comm: compare(comm, make, data, options, strategies=strategies)).results[0]


def test_the_figures_follow_the_choices():
    widget = StrategyComparison("mlp, digits", 2, strategies=("flat", "zero_2"), num_steps=5, run=simulated)
    assert widget.strategies.options == ALL and widget.model.options == tuple(MODELS)
    widget.button.click()
    widget.wait(60)
    assert [row.name for row in widget.value.rows] == ["serial", "flat", "zero_2"], widget.status.value
    times, losses = widget.figures
    assert times.layout.title.text == "<b>mlp, digits</b> on 2 ranks, 5 steps of 16 samples"
    assert list(times.data[0].y) == [trace.name for trace in losses.data] == ["serial", "flat", "zero_2"]
    assert "The fewest bytes a step: flat" in widget.status.value and "least memory: zero_2" in widget.status.value
    widget.num_ranks.value, widget.num_steps.value, widget.strategies.value = 3, 10, ("torch_ddp", "zero_3")
    widget.button.click()
    widget.wait(60)
    assert widget.figures[0] is times and "on 3 ranks, 10 steps" in times.layout.title.text
    assert list(times.data[0].y) == ["serial", "zero_3"] and len(losses.data[1].x) == 10
    assert "Left out: torch_ddp: simulated ranks share a process" in widget.status.value
    widget.strategies.value = ()
    widget._run_table = compare_on_ranks
    widget.button.click()
    widget.wait(60)
    assert "choose at least one strategy" in widget.status.value and not widget.num_ranks.disabled


@pytest.mark.parametrize("choices", [{"model": "gpt"}, {"num_ranks": 9}, {"num_steps": 0}, {"strategies": ("ring",)}])
def test_wrong_choices(choices):
    with pytest.raises(UsageError):
        StrategyComparison(**choices)
    choices = {"model": "mlp, digits", "num_ranks": 2, "strategies": ("flat",), "num_steps": 5} | choices
    if choices["num_steps"]:
        with pytest.raises(UsageError):
            compare_on_ranks(choices.pop("num_ranks"), choices.pop("model"), **choices)


def ranks_of(launcher):
    """The ranks of a launcher, which leads none of their sessions: processes with its request among their arguments."""
    request, found = launcher.args[-1].encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if request in (folder / "cmdline").read_bytes().split(b"\0") and int(folder.name) != launcher.pid:
                found.append(int(folder.name))
    return found


def are_gone(launcher, patience_s=60):
    ends = time.monotonic() + patience_s
    while ranks_of(launcher) and time.monotonic() < ends:
        time.sleep(0.05)
    return not ranks_of(launcher)


@pytest.mark.mpi
@pytest.mark.timeout(400)
def test_on_real_ranks_with_stop_and_a_rank_that_is_killed(monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr("labkit.training.compare_ranks.subprocess.Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    widget = StrategyComparison("mlp, digits", 2, strategies=("overlapped", "parameter_server"), num_steps=5)
    seen = []
    widget.status.observe(lambda change: seen.append(change["new"]), "value")
    widget.button.click()
    assert widget.button.description == "Stop" and widget.model.disabled and widget.strategies.disabled
    widget.wait(150)
    table = widget.value
    assert table is not None, widget.status.value
    assert [row.name for row in table.rows] == ["serial", "overlapped", "parameter_server"]
    assert table["overlapped"].difference < 1e-5 and table["overlapped"].step_s > 0 and len(table["overlapped"].memory) == 2
    assert "starting 2 ranks ..." in seen and any(text.startswith("overlapped (1 of 2)") for text in seen)
    assert are_gone(started[0])

    widget.num_steps.value = 100
    widget.strategies.value = ALL
    widget.model.value = "transformer, reviews"
    widget.button.click()
    deadline = time.monotonic() + 120
    while not widget.status.value.startswith("one process") and time.monotonic() < deadline:
        time.sleep(0.05)
    widget.button.click()
    widget.wait(60)
    assert widget.status.value.startswith("Stopped") and widget.value is table and are_gone(started[1])

    killed = []

    def kill_one(text):
        if text.startswith("one process") and not killed:
            killed.append(max(ranks_of(started[2])))
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(NotAvailableError, match="the 2 ranks failed"):
        compare_on_ranks(2, "transformer, reviews", strategies=("flat",), num_steps=1000, progress=kill_one)
    assert are_gone(started[2])
    with pytest.raises(NotAvailableError, match="not ready after 0.5 s"):
        compare_on_ranks(2, strategies=("flat",), deadline_s=0.5)
    assert are_gone(started[3])
