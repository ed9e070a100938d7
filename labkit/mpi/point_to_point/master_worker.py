"""Tasks handed out to whoever is free: rank 0 gives, the others work.

::

    master                          worker
      task --TASK-->                  receives from rank 0, any tag
      <--RESULT or ERROR--            works, answers
      next task, or --STOP-->         ends at STOP

The tag says what a message is. The master receives from ``ANY_SOURCE``: who is first gets the next task, so
long tasks do not hold up the others. A schedule made beforehand would be cheaper if all took equally long.
Tasks and results travel as bytes inside the message: what cannot be pickled or made again fails with its task
named, where a plain ``recv`` would have lost which one it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.errors import LabkitError
from labkit.mpi.arguments import usage_error

TASK, STOP, RESULT, ERROR = 21, 22, 23, 24


class TaskError(LabkitError, RuntimeError):
    """``work`` raised; ``__cause__`` is its exception, or a stand-in where that could not travel.

    Attributes
    ----------
    index : int
        Which task, counted from 0.
    task : object
    rank : int
        Where it ran.
    """

    def __init__(self, index: int, task, rank: int, cause: BaseException):
        super().__init__(
            f"task {index} of master_worker, {_short(task)}, failed on rank {rank}: {_said(cause)}. "
            "No further tasks were handed out. Try work(task) alone with this task."
        )
        self.index, self.task, self.rank = index, task, rank


@dataclass(frozen=True, slots=True)
class TaskResults:
    """What ``work`` returned for each task, and the rank each ran on; both in the order of the tasks."""

    results: list
    ranks: list[int]


def master_worker(comm, tasks: Sequence | None, work: Callable) -> TaskResults | None:
    """``[work(task) for task in tasks]``, spread over the ranks 1 to p - 1 as they become free.

    Parameters
    ----------
    comm : Communicator
        All ranks call. No other messages may be under way on it, for the receives take any source. With one
        rank it runs the tasks itself.
    tasks : sequence
        Read at rank 0 only; other ranks may pass None. Tasks and results are pickled.
    work : callable
        ``work(task)``; called on the workers, so every rank must pass the same.

    Returns
    -------
    TaskResults or None
        At rank 0, in the order of ``tasks``; None on the others.

    Raises
    ------
    TaskError
        At rank 0, after all workers have stopped: ``work`` raised, or a task or result cannot be pickled.
        The other ranks return.
    UsageError
        ``work`` cannot be called; at rank 0, after all workers have stopped: ``tasks`` is no sequence.

    Notes
    -----
    2 messages a task and one STOP a worker. Rank 0 computes nothing: of p ranks p - 1 work. Which rank runs
    a task differs from run to run; the results do not.
    """
    if not callable(work):
        raise usage_error(comm, "master_worker", f"work must be callable, but it is {work!r}. Pass a function of a task.")
    if comm.rank != 0:
        return _serve(comm, work)
    try:
        tasks = list(tasks)
    except Exception as error:
        _stop_workers(comm)
        if isinstance(error, TypeError) and not hasattr(tasks, "__iter__"):
            raise usage_error(
                comm, "master_worker", f"tasks must be a sequence at rank 0, but it is {_short(tasks)}. Pass a list."
            ) from None
        raise
    if comm.size > 1:
        return _hand_out(comm, tasks)
    results = []
    for index, task in enumerate(tasks):
        try:
            results.append(work(task))
        except Exception as error:
            raise TaskError(index, task, 0, error) from error
    return TaskResults(results, [0] * len(tasks))


def _hand_out(comm, tasks) -> TaskResults:
    """Rank 0: keep every worker busy, collect the answers, stop everybody, then raise if a task failed."""
    from mpi4py import MPI

    results, ranks = [None] * len(tasks), [-1] * len(tasks)
    idle, busy, following = list(range(comm.size - 1, 0, -1)), 0, 0
    failure = None
    status = MPI.Status()
    while busy or (following < len(tasks) and failure is None):
        if idle and following < len(tasks) and failure is None:
            worker, index = idle.pop(), following
            following += 1
            try:
                parcel = MPI.pickle.dumps(tasks[index])
            except Exception as error:
                failure = TaskError(index, tasks[index], 0, error), error
                continue
            comm.send((index, parcel), worker, TASK)
            busy += 1
            continue
        index, parcel = comm.recv(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=status)
        source, error = status.Get_source(), None
        busy -= 1
        idle.append(source)
        ranks[index] = source
        try:
            answer = MPI.pickle.loads(parcel)
            error = answer if status.Get_tag() == ERROR else None
            results[index] = answer
        except Exception as unpickling_error:
            error = unpickling_error
        if error is not None and failure is None:  # of several failures the first to arrive is told
            failure = TaskError(index, tasks[index], source, error), error
    _stop_workers(comm)
    if failure is not None:
        raise failure[0] from failure[1]
    return TaskResults(results, ranks)


def _stop_workers(comm) -> None:
    for worker in range(1, comm.size):
        comm.send(None, worker, STOP)


def _serve(comm, work) -> None:
    """A worker: answer every task, end at STOP."""
    from mpi4py import MPI

    status = MPI.Status()
    while True:
        message = comm.recv(source=0, tag=MPI.ANY_TAG, status=status)
        if status.Get_tag() == STOP:
            return
        index, parcel = message
        try:
            answer, tag = MPI.pickle.dumps(work(MPI.pickle.loads(parcel))), RESULT
        except Exception as error:
            answer, tag = _pickled_exception(error), ERROR
        comm.send((index, answer), 0, tag)


def _pickled_exception(error: Exception) -> bytes:
    """The exception, or one that says the same if it cannot be made again from its pickle.

    Many classes with an ``__init__`` of their own pickle well and cannot be made again.
    """
    from mpi4py import MPI

    try:
        parcel = MPI.pickle.dumps(error)
        MPI.pickle.loads(parcel)
    except Exception:
        parcel = MPI.pickle.dumps(RuntimeError(_said(error)))
    return parcel


def _said(error: BaseException) -> str:
    """The class of an exception, and what it says unless saying it fails."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _short(task) -> str:
    """The task as text, at most a line; its class if its repr fails."""
    try:
        text = repr(task)
    except Exception:
        return f"of class {type(task).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
