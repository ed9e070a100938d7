"""Run by test_on_ranks.py under mpiexec: trainings with servers against training on one process; says what failed."""

import sys
import traceback

import numpy as np
import torch
from mpi4py import MPI

from labkit.errors import NonFiniteError, UsageError
from labkit.training import TrainingOptions, train_serial
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model
from labkit.training.parameter_server.delays import Delay
from labkit.training.parameter_server.train import train_with_servers

comm = MPI.COMM_WORLD
data = load_digits().head(400, 100)
OPTIONS = TrainingOptions(num_steps=20, batch_size=61, momentum=0.9, learning_rate=0.05, seed=3)


def weights(model):
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.parameters()])


def run(options=OPTIONS, model=None, **settings):
    model = model or make_model("mlp", data, hidden=(16,))
    report = train_with_servers(comm, model, data, options, **settings)
    assert len(set(comm.allgather(report.digest))) == 1
    assert len(set(comm.allgather(weights(model).tobytes()))) == 1
    return report, weights(model)


def serial(options=OPTIONS):
    model = make_model("mlp", data, hidden=(16,))
    report = train_serial(model, data, options)
    return report, weights(model)


def equals_serial(one_sided):
    wanted_report, wanted = serial()
    for num_servers in range(1, comm.size):
        digests = set()
        for rule in ("bsp", "ssp,0"):
            report, found = run(num_servers=num_servers, consistency=rule, one_sided=one_sided)
            # The same numbers, added in another order: a few rounding errors of float32 a step.
            assert np.abs(found - wanted).max() < 1e-6, np.abs(found - wanted).max()
            assert abs(report.accuracy - wanted_report.accuracy) < 0.02
            assert set(report.stalenesses) == {0} and len(report.stalenesses) == 20 * report.num_workers
            digests.add(report.digest)
        assert len(digests) == 1  # s = 0 is bsp, bit by bit
    if not one_sided:
        options = OPTIONS.replace(optimizer="adam", learning_rate=0.01, weight_decay=0.1)
        assert np.abs(run(options)[1] - serial(options)[1]).max() < 1e-4


def runs_apart(one_sided):
    slow = [Delay(0, 0.01, every=1)]
    for rule, bound in (("ssp,2", 2), ("async", None)):
        report, found = run(consistency=rule, one_sided=one_sided, delays=slow)
        assert np.isfinite(found).all() and len(report.stalenesses) == 20 * report.num_workers
        if report.num_workers > 1:
            assert max(report.stalenesses) > 0 and report.missing.max() > 0
            others = report.missing.max(axis=1)
            assert bound is None or others.max() <= bound * (report.num_workers - 1) + report.num_workers - 1
        moments = report.moments_s
        assert (np.diff(moments, axis=2) >= 0).all() and (np.diff(moments[:, :, 0], axis=1) >= 0).all()
        assert report.computed_s[0] >= 20 * 0.01
        assert report.sent_bytes == (found.nbytes * 20,) * report.num_workers


def a_bad_loss_stops_that_worker(one_sided):
    def loss(outputs, targets):
        losses = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
        return losses * float("nan") if comm.rank == comm.size - 1 and len(calls) == 6 else losses

    calls = []
    counted = lambda outputs, targets: (calls.append(1), loss(outputs, targets))[1]  # noqa: E731
    model = make_model("mlp", data, hidden=(16,))
    try:
        train_with_servers(comm, model, data, OPTIONS, consistency="ssp,1", one_sided=one_sided, loss=counted)
    except NonFiniteError as error:
        worker = comm.size - 2
        assert error.step == 5 and error.ranks == (comm.size - 1,), (error.step, error.ranks)
        assert f"step 5: worker {worker} stopped" in str(error) and "nan" in str(error)
    else:
        raise AssertionError("no error")
    assert np.isfinite(weights(model)).all()
    assert len(set(comm.allgather(weights(model).tobytes()))) == 1


def buffers_are_means():
    from labkit.training.data import load_mnist

    pictures = load_mnist().head(60, 20)
    model = make_model("cnn", pictures, channels=(2, 3))
    options = TrainingOptions(num_steps=2, batch_size=20)
    train_with_servers(comm, model, pictures, options)
    assert len(set(comm.allgather(tuple(buffer.sum().item() for buffer in model.buffers())))) == 1


def refusals():
    for settings, words in (
        ({"num_servers": comm.size}, "leave 0 workers"),
        ({"num_servers": 0}, "0 servers"),
        ({"consistency": "ssp"}, "takes a bound"),
        ({"correction": "hope"}, "'hope'"),
        ({"delays": [Delay(99, 1.0)]}, "for worker 99"),
        ({"one_sided": True, "options": OPTIONS.replace(optimizer="adam")}, "one-sided"),
        ({"options": OPTIONS.replace(batch_size=comm.size - 2)} if comm.size > 2 else {"num_servers": 7}, "batch_size" if comm.size > 2 else "7 servers"),
        ({"options": OPTIONS.replace(seed=comm.rank)}, "differ between ranks 0 and 1"),
        ({"model": make_model("mlp", data, hidden=(16,), seed=comm.rank)}, "different models"),
        ({"model": make_model("mlp", data, hidden=(16,)).double()}, "only float32"),
    ):
        try:
            run(**settings)
        except UsageError as error:
            assert words in str(error), (words, str(error))
        else:
            raise AssertionError(f"accepted: {settings}")


def main():
    torch.set_num_threads(1)
    sides = [(case, (one_sided,)) for case in (equals_serial, runs_apart, a_bad_loss_stops_that_worker) for one_sided in (False, True)]
    for case, arguments in [*sides, (buffers_are_means, ()), (refusals, ())]:
        try:
            case(*arguments)
        except Exception:
            sys.stderr.write(f"{case.__name__}{arguments} on rank {comm.rank}:\n{traceback.format_exc()}")
            sys.stderr.flush()
            comm.Abort(1)
    if comm.rank == 0:
        print("all is well")


if __name__ == "__main__":
    main()
