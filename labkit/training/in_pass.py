"""Communication inside forward and backward, as synchronised batch norm needs it.

Three things can go wrong there, and are taken care of:

* A rank fails in the middle of a pass, and the others wait for it in the next layer. So every message begins with a
  flag: the rank that failed sends one last message, and whoever reads its flag stops too. Each pass ends with a closing
  message, so that a rank that fails after the last layer is met there.
* The strategy communicates inside a pass as well (ZeRO), so that others wait for the failed rank in another place than
  the next layer. Then its announcements are the one place to meet: a *gate* that every layer's message passes first.
* Other communication is under way, in another thread or as nonblocking calls. So a trainer gives these messages a
  duplicated communicator, where their order is their own.
* Simulated ranks take turns in one thread. What torch keeps by thread (whether gradients are recorded, autocast) is
  put aside while a rank waits, and backward runs in a thread of its own, because a rank cannot leave autograd's engine
  in the middle.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from labkit.errors import TrainingError, UsageError
from labkit.training.recording import MAIN, Recorder, Traffic, is_simulated

CLOSING, FAILING = -1, -2  # what a message is about, if not a layer
AUTOCAST_DEVICES = ("cpu", "cuda")

_here = threading.local()  # .desk: where this thread has its communication done


class PeerFailedError(TrainingError):
    """Another rank has failed in the middle of forward or backward."""


class InPass:
    """How the layers of one model on several ranks talk to each other.

    Parameters
    ----------
    comm : communicator

    Attributes
    ----------
    length : int
        Numbers in a message: those of the longest one, because a rank that fails does not know which comes next.
    names : list of str
        Of the layers, by their keys.
    traffic : Traffic
    gate : callable or None
        ``gate(about, name)``: all ranks are about to do this, or it raises; see :meth:`attach`.
    """

    def __init__(self, comm):
        self.owner = self.comm = comm
        self.recorder: Recorder | None = None
        self.length, self.names, self.traffic = 0, [], Traffic()
        self.is_over, self.gate = False, None

    def __deepcopy__(self, memo) -> InPass:
        return self  # copies of a model are on the same ranks

    def add_layer(self, name: str, num_values: int) -> int:
        """The key of a layer whose messages have so many numbers."""
        self.length = max(self.length, num_values)
        self.names.append(name)
        return len(self.names) - 1

    # -- a trainer's part ------------------------------------------------------------------------------

    def attach(self, comm, recorder: Recorder, gate: Callable[[int, str], None] | None = None) -> None:
        """Messages go over a duplicate of a communicator from now on. Collective.

        With a gate, a rank that fails tells it there, and not in :meth:`leave`.
        """
        self.comm, self.recorder, self.traffic, self.gate = comm.Dup(), recorder, Traffic(), gate

    def detach(self) -> None:
        """And over the first one again."""
        comm, self.comm, self.recorder, self.gate = self.comm, self.owner, None, None
        if comm is not self.owner:
            comm.Free()

    def begin(self) -> None:
        """A step begins."""
        self.is_over = False

    def close(self, *, is_last: bool) -> None:
        """A forward and backward pass has ended on this rank. Collective.

        Raises
        ------
        PeerFailedError
            It has not on another one.
        """
        self._exchange(np.empty(0), CLOSING, "end of a pass")
        self.is_over = is_last

    def leave(self) -> None:
        """This rank has failed in a step: tell the others, unless they know."""
        if not self.is_over and self.gate is None:
            with contextlib.suppress(PeerFailedError):
                self._exchange(np.empty(0), FAILING, "failure")

    def backward(self, loss: torch.Tensor) -> None:
        """``loss.backward()``, during which layers communicate, also on simulated ranks."""
        if self.comm.size > 1 and is_simulated(self.comm):
            Desk().run(loss.backward)
        else:
            loss.backward()

    # -- a layer's part ----------------------------------------------------------------------------------

    def gather(self, values: np.ndarray, key: int, *, is_backward: bool) -> np.ndarray:
        """The values of all ranks, (ranks, numbers), in the order of the ranks. Collective.

        Parameters
        ----------
        values : numpy.ndarray of float64
        key : int
            Of the layer.

        Raises
        ------
        PeerFailedError
            Another rank has failed.
        TrainingError
            The ranks are in different layers.
        """
        if self.comm.size == 1:
            return values[None]
        name = f"{self.names[key]} {'backward' if is_backward else 'forward'}"
        call = lambda: self._exchange(values, 2 * key + is_backward, name)  # noqa: E731
        desk = getattr(_here, "desk", None)
        if desk is not None:
            return desk.ask(call)
        if is_backward and is_simulated(self.comm):
            raise UsageError(
                f"{self.names[key]}: a simulated rank cannot wait inside loss.backward(). Call "
                "labkit.training.batch_norm.backward(model, loss) instead, as the trainers do."
            )
        return call()

    def _exchange(self, values: np.ndarray, about: int, name: str) -> np.ndarray:
        comm = self.comm
        if comm.size == 1:
            return values[None]
        if threading.current_thread() is not threading.main_thread():
            # Autograd's thread of a GPU: the watch over a cell belongs to the main thread.
            comm = getattr(comm, "raw", comm)
        row = np.zeros(2 + self.length)
        row[0], row[1], row[2 : 2 + len(values)] = about == FAILING, about, values
        rows = np.empty((comm.size, len(row)))
        record = contextlib.nullcontext() if self.recorder is None else self.recorder.span(
            name, "collective", MAIN, row.nbytes
        )
        with record, _neutral(comm):
            if self.gate is not None:
                self.gate(about, name)
            comm.Allgather(row, rows)
        self.traffic += Traffic(1, comm.size - 1, row.nbytes * (comm.size - 1))
        failed = np.flatnonzero(rows[:, 0])
        if len(failed):
            self.is_over = True
            raise PeerFailedError(f"rank {failed[0]} failed in this step", ranks=tuple(int(rank) for rank in failed))
        if (rows[:, 1] != about).any():
            self.is_over = True
            other = int(np.flatnonzero(rows[:, 1] != about)[0])
            raise TrainingError(
                f"rank {comm.rank} is at {name!r} and rank {other} at {self._name(int(rows[other, 1]))!r}: "
                "synchronised layers meet in the same order on all ranks. Let the model take the same path on every "
                "rank, also for an empty shard."
            )
        return rows[:, 2 : 2 + len(values)]

    def _name(self, about: int) -> str:
        if about == CLOSING:
            return "end of a pass"
        return f"{self.names[about // 2]} {'backward' if about % 2 else 'forward'}"


class Desk:
    """Runs something in a thread, and what it asks for where it was started: on the simulated rank."""

    def __init__(self):
        self.calls: queue.SimpleQueue = queue.SimpleQueue()
        self.answers: queue.SimpleQueue = queue.SimpleQueue()
        self.error: BaseException | None = None

    def run(self, work: Callable) -> None:
        """Return when the work is done; raises what it raised."""
        thread = threading.Thread(target=self._work, args=(work,), daemon=True, name="labkit backward")
        thread.start()
        while (call := self.calls.get()) is not None:
            try:
                answer = call(), None
            except BaseException as error:  # also the end of the rank: goes through the work, and is raised below
                answer = None, error
            self.answers.put(answer)
        thread.join()
        if self.error is not None:
            raise self.error

    def ask(self, call: Callable):
        """Of the thread: what ``call`` returns there."""
        self.calls.put(call)
        result, error = self.answers.get()
        if error is not None:
            raise error
        return result

    def _work(self, work: Callable) -> None:
        _here.desk = self
        try:
            work()
        except BaseException as error:  # raised again by run()
            self.error = error
        finally:
            self.calls.put(None)


@contextlib.contextmanager
def _neutral(comm):
    """On simulated ranks: what torch keeps by thread is as at the start while others have their turn."""
    if not is_simulated(comm):
        yield
        return
    records = torch.is_grad_enabled()
    casts = [(name, torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in AUTOCAST_DEVICES]
    torch.set_grad_enabled(True)
    for device, _, _ in casts:
        torch.set_autocast_enabled(device, False)
    try:
        yield
    finally:
        torch.set_grad_enabled(records)
        for device, is_on, dtype in casts:
            torch.set_autocast_enabled(device, is_on)
            torch.set_autocast_dtype(device, dtype)


def find_in_pass(model: nn.Module, comm=None) -> InPass | None:
    """What the layers of a model talk through; None if they do not.

    Raises
    ------
    UsageError
        They were made for several communicators, or for other ranks than those of ``comm``.
    """
    every = (getattr(layer, "in_pass", None) for layer in model.modules())
    found = {id(in_pass): in_pass for in_pass in every if isinstance(in_pass, InPass)}
    if len(found) > 1:
        raise UsageError(
            f"the layers of this model were made for {len(found)} communicators: convert the whole model at once, with "
            "labkit.training.batch_norm.convert(model, comm)."
        )
    for in_pass in found.values():
        owner = in_pass.owner
        if comm is not None and (owner.size, owner.rank) != (comm.size, comm.rank):
            raise UsageError(
                f"batch norm was synchronised for rank {owner.rank} of {owner.size}, and this is rank {comm.rank} of "
                f"{comm.size}: convert the model with the communicator that trains it."
            )
        return in_pass
    return None
