"""Servers and workers that are killed: what goes on, what is replaced, and what comes out."""

import re

import numpy as np
import pytest
import torch

from labkit.errors import NonFiniteError, TrainingError, UsageError
from labkit.training import TrainingOptions, train_serial
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model
from labkit.training.parameter_server.delays import Delay
from labkit.training.parameter_server.processes import Kill, train_on_processes

pytestmark = pytest.mark.timeout(300, method="thread")
OPTIONS = TrainingOptions(num_steps=20, batch_size=61, momentum=0.9, learning_rate=0.05)


@pytest.fixture(scope="module")
def data():
    return load_digits().head(400, 100)


@pytest.fixture(scope="module")
def wanted(data):
    model = make_model("mlp", data, hidden=(16,))
    train_serial(model, data, OPTIONS)
    return weights(model)


def weights(model):
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.parameters()])


def run(data, options=OPTIONS, model=None, **settings):
    model = model or make_model("mlp", data, hidden=(16,))
    report = train_on_processes(model, data, options, **settings)
    return report, weights(model)


def test_a_server_that_is_killed_is_replaced_by_its_replica_and_nothing_is_lost(data, wanted):
    report, found = run(data, num_servers=2, with_replicas=True, kills=[Kill("server", 1, 7), Kill("replica", 0, 3)])
    assert sorted(report.events) == [
        "server 1 died by SIGKILL; its replica took over",
        "the replica of server 0 died by SIGKILL; the server went on without one",
    ]
    # As without the fault, and as on one process, but for the order of additions.
    assert np.abs(found - wanted).max() < 1e-6
    assert np.isfinite(report.losses).all() and set(report.stalenesses) == {0}


def test_a_worker_that_is_killed_stops_nobody(data):
    report, found = run(data, num_workers=3, kills=[Kill("worker", 1, 5)], consistency="ssp,2", delays=[Delay(2, 0.005, every=1)])
    assert report.events == ("worker 1 died by SIGKILL at step 5; the others went on",)
    assert np.isfinite(report.losses).sum(1).tolist() == [20, 5, 20]
    assert sum(update.worker == 1 for update in report.applied) == 5
    assert np.isfinite(found).all() and report.computed_s[2] >= 20 * 0.005


def test_a_server_without_a_replica_goes_on_from_its_checkpoint(data, wanted):
    report, found = run(data, checkpoint_every=4, kills=[Kill("server", 0, 10)])
    (event,) = report.events
    # Of step 8, or 7: gradients of step 7 that had come but were not applied yet are not in the checkpoint.
    assert re.fullmatch("server 0 died and was started again from its checkpoint of step [78]", event)
    clocks = sorted((update.clock, update.worker) for update in report.applied)
    assert len(set(clocks)) == len(clocks)  # nothing twice
    assert {clock for clock, _ in clocks} >= {*range(7), *range(10, 20)}  # what came after the checkpoint may be lost
    assert 1e-6 < np.abs(found - wanted).max() < 0.2


def test_what_cannot_be_saved_is_said(data):
    with pytest.raises(TrainingError, match="server 0 died by SIGKILL, and its block of the weights with it: run with_replicas"):
        run(data, kills=[Kill("server", 0, 3)])
    with pytest.raises(TrainingError, match="no worker came to step 20: worker [01] died by SIGKILL at step"):
        run(data, kills=[Kill("worker", 0, 3), Kill("worker", 1, 5)], consistency="async")


class SpoiltAtThird(torch.nn.Module):
    """A model whose loss is not a number in the third step of the workers."""

    def __init__(self):
        super().__init__()
        self.layer, self.num_calls = torch.nn.Linear(64, 10), 0

    def forward(self, x):
        self.num_calls += 1
        return self.layer(x.flatten(1)) * (float("nan") if self.num_calls == 3 else 1.0)


def test_a_loss_that_is_no_number_is_told_with_its_worker_and_step(data):
    model = SpoiltAtThird()
    with pytest.raises(NonFiniteError, match=r"step 2: worker [01] stopped: step 2: the loss of worker [01] is nan") as raised:
        train_on_processes(model, data, OPTIONS)
    assert raised.value.step == 2 and np.isfinite(weights(model)).all()


def test_wrong_settings_run_nothing(data):
    class Inside(torch.nn.Linear):
        pass

    for settings, words in (
        ({"num_workers": 0}, "0 workers"),
        ({"num_workers": 60, "num_servers": 5, "options": OPTIONS.replace(batch_size=99)}, "at most 64"),
        ({"num_workers": 99, "num_servers": 1}, "at most 64"),
        ({"options": OPTIONS.replace(batch_size=1)}, "batch_size 1"),
        ({"kills": [Kill("server", 1, 0)]}, "there are 1 of these"),
        ({"delays": [Delay(2, 0.1)]}, "worker 2"),
        ({"consistency": "ssp"}, "takes a bound"),
        ({"model": Inside(64, 10)}, "cannot be sent to another process"),
        ({"options": OPTIONS.replace(precision="bf16")}, "leave these options out"),
    ):
        with pytest.raises(UsageError, match=words):
            run(data, **settings)
    with pytest.raises(UsageError, match="the role is"):
        Kill("boss", 0, 0)
