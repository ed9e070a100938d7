"""Tasks handed out by rank 0: every task once, in order, to whoever is free; failures named."""

import time

from helpers import equal, refused

from labkit.errors import UsageError
from labkit.mpi.point_to_point.master_worker import TaskError, master_worker


class TwoArguments(Exception):
    """Pickles, and cannot be made again: unpickling calls __init__ with one argument."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Unreadable:
    """Pickles well; making it again fails."""

    def __reduce__(self):
        return (int, ("not a number",))

    def __repr__(self):
        return "<unreadable>"


class Nameless:
    """A task that cannot be shown."""

    def __repr__(self):
        raise ValueError("no repr")


class Speechless(Exception):
    """Says nothing, and does not pickle."""

    def __str__(self):
        raise ValueError("no words")

    def __reduce__(self):
        raise ValueError("no pickle")


def failing(comm, tasks, work):
    """The TaskError at rank 0, None elsewhere; afterwards the communicator is quiet."""
    try:
        found = master_worker(comm, tasks, work)
        assert comm.rank != 0 and found is None, f"no error at rank {comm.rank}: {found}"
        error = None
    except TaskError as raised:
        assert comm.rank == 0
        error = raised
    comm.Barrier()
    left_over = comm.Iprobe()
    comm.Barrier()  # nobody sends on before everybody has looked
    assert not left_over, "a message was left over"
    return error


def check_master_worker_gives_the_results_in_order(comm):
    for num_tasks in (0, 1, comm.size - 1, comm.size, 23):
        tasks = [(i, "text") for i in range(num_tasks)]
        found = master_worker(comm, tasks if comm.rank == 0 else None, lambda task: {"square": task[0] ** 2})
        if comm.rank == 0:
            equal(found.results, [{"square": i**2} for i in range(num_tasks)], "results")
            workers = {0} if comm.size == 1 else set(range(1, comm.size))
            assert len(found.ranks) == num_tasks and set(found.ranks) <= workers, found.ranks
        else:
            assert found is None


def check_master_worker_runs_each_task_once_where_it_says(comm):
    ran = []
    found = master_worker(comm, range(17), ran.append)
    everywhere = comm.gather(ran)
    if comm.rank == 0:
        equal(sorted(sum(everywhere, [])), list(range(17)), "tasks that ran")
        for rank, tasks in enumerate(everywhere):
            equal(tasks, [task for task, where in enumerate(found.ranks) if where == rank], f"tasks on rank {rank}")


def check_master_worker_gives_tasks_to_whoever_is_free(comm):
    """Task 0 ends only when the last task has run: with tasks dealt beforehand this would hang."""
    if comm.size < 3:
        return
    signal, num_tasks = comm.Dup(), 4 * comm.size

    def work(task):
        if task == 0:
            signal.recv(tag=1)
        if task == num_tasks - 1:
            for rank in range(1, comm.size):
                signal.isend(None, rank, 1).wait()
        return comm.rank

    found = master_worker(comm, range(num_tasks), work)
    if comm.rank == 0:
        equal(found.results, found.ranks, "ranks")
        equal(found.ranks.count(found.ranks[0]), 1, "tasks beside the long one")
    comm.Barrier()
    while signal.Iprobe():
        signal.recv()
    comm.Barrier()


def check_master_worker_names_the_task_that_failed(comm):
    def work(task):
        if task == "task 4":
            raise ZeroDivisionError("no luck")
        return task

    error = failing(comm, [f"task {i}" for i in range(9)], work)
    if comm.rank == 0:
        assert type(error.__cause__) is ZeroDivisionError and error.__cause__.args == ("no luck",)
        equal((error.index, error.task), (4, "task 4"), "task")
        assert error.rank == 0 if comm.size == 1 else 1 <= error.rank < comm.size
        for words in ("task 4 of master_worker, 'task 4'", f"on rank {error.rank}", "ZeroDivisionError: no luck"):
            assert words in str(error), str(error)


def check_master_worker_stops_handing_out_after_a_failure(comm):
    ran = []

    def work(task):
        ran.append(task)
        if task == 0:
            raise ValueError(task)
        time.sleep(0.001)

    failing(comm, range(10_000), work)
    assert len(ran) < 10_000, "everything was run all the same"


def check_master_worker_when_every_task_fails(comm):
    error = failing(comm, [3, 4, 5, 6, 7, 8], lambda task: task / 0)
    if comm.rank == 0:
        equal(error.task, error.index + 3, "task and index belong together")


def check_master_worker_survives_what_does_not_pickle(comm):
    def awkward(task):
        raise TwoArguments(task, "more")

    error = failing(comm, ["x"], awkward)
    if comm.rank == 0:
        assert "TwoArguments: x and more" in str(error), str(error)
    if comm.size == 1:
        return  # nothing is pickled
    for tasks, work in (
        ([1], lambda task: lambda: task),  # the result cannot be pickled
        ([1], lambda task: Unreadable()),  # nor made again
        ([1, 2, lambda: 3, 4], lambda task: task),  # the task cannot be pickled
        ([1, 2, Unreadable(), 4], lambda task: task),  # nor made again
    ):
        error = failing(comm, tasks, work)
        if comm.rank == 0:
            assert error.index == len(tasks) // 4 * 2 and f"task {error.index} of" in str(error), str(error)


def check_master_worker_names_what_cannot_be_shown(comm):
    def awkward(task):
        raise Speechless

    for task, work, words in (
        (Nameless(), lambda task: 1 / 0, ("of class Nameless", "ZeroDivisionError: division by zero")),
        (7, awkward, ("task 0 of master_worker, 7", ": Speechless.")),
    ):
        error = failing(comm, [task], work)
        if comm.rank == 0:
            for word in words:
                assert word in str(error), str(error)


def check_master_worker_ends_the_workers_if_there_are_no_tasks_to_read(comm):
    def breaks_off():
        yield 1
        raise KeyError("the second")

    for wrong, error_class, words in ((None, UsageError, ("master_worker on rank 0", "sequence", "None")),
                                      (7, UsageError, ("7",)), (breaks_off(), KeyError, ("the second",))):
        try:
            found = master_worker(comm, wrong, lambda task: task)
            assert comm.rank != 0 and found is None, found
        except error_class as error:
            assert comm.rank == 0
            for word in words:
                assert word in str(error), str(error)
        comm.Barrier()
        left_over = comm.Iprobe()
        comm.Barrier()
        assert not left_over, "a message was left over"


def check_master_worker_can_be_called_again(comm):
    for _ in range(5):
        failing(comm, [1, 0], lambda task: 1 / task)
        found = master_worker(comm, [1, 2, 4], lambda task: 1 / task)
        if comm.rank == 0:
            equal(found.results, [1.0, 0.5, 0.25], "results")


def check_master_worker_refuses_work_that_is_no_function(comm):
    refused(lambda: master_worker(comm, [1], 7), "master_worker", f"on rank {comm.rank} of {comm.size}", "7")
