"""Training in one process: the oracle that every strategy is compared with."""

from __future__ import annotations

from labkit.training.options import TrainingOptions
from labkit.training.report import TrainingReport
from labkit.training.strategies import StrategyBase


class Serial(StrategyBase):
    """One rank, no communication."""

    name = "serial"

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        from labkit.errors import UsageError

        if comm.size != 1:
            raise UsageError(f"the strategy 'serial' runs on 1 rank, not on {comm.size}: choose 'overlapped', for example.")
        super().attach(comm, model, optimizer_factory, options, recorder)


class Alone:
    """A communicator of one rank that needs no MPI."""

    rank, size = 0, 1

    def Allgather(self, sendbuf, recvbuf):
        recvbuf.reshape(-1)[:] = sendbuf.reshape(-1)

    def Allreduce(self, sendbuf, recvbuf, op=None):
        if hasattr(sendbuf, "reshape"):
            recvbuf[...] = sendbuf

    def Bcast(self, buf, root=0):
        pass

    def Barrier(self):
        pass

    def allgather(self, obj):
        return [obj]

    def bcast(self, obj, root=0):
        return obj

    def Dup(self, info=None):
        return self

    def Free(self):
        pass


def train_serial(model, data, options: TrainingOptions | None = None, **settings) -> TrainingReport:
    """Train in this process alone.

    With ``num_micro_batches=p`` a step adds up gradients of the pieces of the batch that p ranks would take, in the order
    of the ranks: an all-reduce that keeps this order then gives the same bits.

    Parameters
    ----------
    model : torch.nn.Module
        Is trained in place.
    data : DataSet
    options : TrainingOptions, optional
    settings
        As for :func:`labkit.training.trainer.train`.

    Examples
    --------
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data = load_digits()
    >>> report = train_serial(make_model("mlp", data, hidden=(32,)), data, TrainingOptions(num_steps=40))
    >>> report.losses[-1] < report.losses[0] / 2, report.accuracy > 0.7
    (True, True)
    """
    from labkit.training.trainer import train

    return train(Alone(), model, data, options, strategy="serial", **settings)
