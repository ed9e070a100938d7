"""Tasks for whoever is free, judged by the virtual time it takes."""

import numpy as np

from labkit.comm.network.model import alpha_beta
from labkit.grading.exercise import COLLECTIVES, COMPUTED_S, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

NETWORK = alpha_beta(1e-6, 1e-9, eager_limit_bytes=65536)
UNIT_S = 1e-5


def tasks_case(num_ranks, num_tasks, *, data_seed=0, **options):
    """One case. Tasks of 10 to 59 units; the worker at a random place is four times as slow as the fastest."""
    random = np.random.default_rng([data_seed, num_ranks, num_tasks])
    tasks = random.integers(10, 60, num_tasks)
    paces_s = random.uniform(1, 2, num_ranks) * UNIT_S
    paces_s[random.integers(1, num_ranks)] = 4 * UNIT_S
    ideal_s = int(tasks.sum()) / (1 / paces_s[1:]).sum()
    longest_s = int(tasks.max(initial=0)) * paces_s[1:].max()
    budget = None
    if not options.get("real"):
        budget = Budget(
            num_messages=2 * num_tasks + 2 * (num_ranks - 1),
            time_s=1.05 * (ideal_s + longest_s) + 20e-6 * (num_ranks - 1),
        )
    words = [f"{num_ranks} ranks, {num_tasks} task{'s' * (num_tasks != 1)}"]
    words += ["every Send waits"] * bool(options.get("unsafe_sends")) + ["messages delayed"] * ("seed" in options)
    words += ["real ranks"] * bool(options.get("real"))
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (None if rank else tasks, float(paces_s[rank])),
        judge=lambda results: problem_of(results, tasks) or left_out(results, tasks, paces_s), network=NETWORK, budget=budget, **options,
    )


def problem_of(results, tasks):
    """What is wrong with what the ranks returned; "" if nothing is."""
    returned = results[0]["return"]
    for rank, result in enumerate(results[1:], 1):
        if result["return"] is not None:
            return f"rank {rank} returned something; only rank 0 returns a pair of arrays, the others None"
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        return "rank 0 returned no pair (results, workers)"
    found, workers = (np.asarray(part) for part in returned)
    for name, part in (("results", found), ("workers", workers)):
        if part.shape != tasks.shape:
            return f"rank 0: {name} has the shape {part.shape} instead of {tasks.shape}"
    wrong = np.flatnonzero(found != tasks**2)
    if wrong.size:
        first = wrong[0]
        return (
            f"rank 0: the result of task {first} is {found[first]} instead of {tasks[first] ** 2} "
            f"({wrong.size} of {tasks.size} are wrong)"
        )
    strangers = np.flatnonzero((workers < 1) | (workers >= len(results)) | (workers != np.round(workers)))
    if strangers.size:
        rank = workers[strangers[0]]
        return f"task {strangers[0]} was done by rank {rank}, which is none of the workers 1 to {len(results) - 1}"
    return ""


def left_out(results, tasks, paces_s):
    """Whether a simulated worker has worked less or more than its tasks take."""
    workers = np.asarray(results[0]["return"][1])
    for rank, result in enumerate(results):
        worked_s = result.get(COMPUTED_S)
        wanted_s = int(tasks[workers == rank].sum()) * paces_s[rank] if rank else 0
        if worked_s is not None and not np.isclose(worked_s, wanted_s, rtol=1e-9, atol=0):
            return f"rank {rank} worked for {worked_s:.4g} s, and its tasks take {wanted_s:.4g} s"
    return ""


def cases():
    return [
        tasks_case(2, 1), tasks_case(2, 5, unsafe_sends=True), tasks_case(3, 0), tasks_case(3, 8),
        tasks_case(4, 2, unsafe_sends=True), tasks_case(4, 40), tasks_case(5, 3), tasks_case(5, 45, seed=1),
        tasks_case(6, 50, unsafe_sends=True), tasks_case(7, 5), tasks_case(8, 60, seed=2), tasks_case(9, 70),
        tasks_case(16, 12, unsafe_sends=True), tasks_case(33, 20, seed=3), tasks_case(2, 6, real=True),
        tasks_case(4, 20, real=True),
    ]


def _returned(failure):
    found, workers = failure.actual(0)
    return np.asarray(found), np.asarray(workers)


def _squares(failure):
    return failure.case.arguments[0][0] ** 2


def _another_order(failure):
    found, wanted = _returned(failure)[0], _squares(failure)
    return failure.status is Status.INCORRECT and np.array_equal(np.sort(found), np.sort(wanted))


def _done_by_master(failure):
    return failure.status is Status.INCORRECT and bool((_returned(failure)[1] == 0).any())


exercise = Exercise(
    title="Master and worker",
    function="master_worker",
    points=5,
    points_over_budget=2,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Rank 0 does not know who will be ready next: it receives from MPI.ANY_SOURCE, and the status tells who it "
        "was. And a worker does not know which message is its last one: the tag can tell.",
        "Rank 0: a task to each worker (as long as there are tasks), then as many receives as tasks; after each "
        "receive, the next task to that same worker if there is one; at the end a STOP to all. Worker: receive with "
        "MPI.ANY_TAG; end at STOP; else work and answer. Send the number of the task along, so that the result "
        "finds its place.",
        "On rank 0, for each task: comm.Recv(message, MPI.ANY_SOURCE, RESULT, status); worker = "
        "status.Get_source(); results[message[0]], workers[message[0]] = message[1], worker; if following < "
        "len(tasks): comm.Send(np.array([following, tasks[following]]), worker, TASK); following += 1. On a worker: "
        "while True: comm.Recv(message, 0, MPI.ANY_TAG, status); if status.Get_tag() == STOP: return None; "
        "compute_for(comm, message[1] * pace_s); message[1] *= message[1]; comm.Send(message, 0, RESULT).",
    ),
    slips=(
        Slip(
            "the squares are right, and the work was left out: a worker calls compute_for(comm, task * pace_s) for "
            "each of its tasks.",
            lambda f: f.status is Status.INCORRECT and "worked for" in f.message,
        ),
        Slip(
            "rank 0 has finished and the workers still wait: they were never told to stop. Send each of them a last "
            "message with a tag of its own.",
            lambda f: f.status is Status.DEADLOCKED and "rank 0 has finished" in f.details,
        ),
        Slip(
            "rank 0 waits for more results than there are tasks under way. With fewer tasks than workers, some "
            "workers get none.",
            lambda f: f.status is Status.DEADLOCKED and f.case.arguments[0][0].size < f.case.num_ranks - 1,
        ),
        Slip(
            "there are more workers than tasks, and rank 0 takes a task for each worker. Hand out at most "
            "len(tasks).",
            lambda f: f.status is Status.CRASHED and f.case.arguments[0][0].size < f.case.num_ranks - 1
            and "tasks[" in f.details,
        ),
        Slip(
            "rank 0 has done tasks itself. It hands out; the ranks 1 to p-1 work.",
            _done_by_master,
        ),
        Slip(
            "all results are there, in the order of their arrival. Send the number of the task along, and put its "
            "result at that place.",
            _another_order,
        ),
        Slip(
            "it takes too long: rank 0 waits for one worker after the other while others are free. Receive from "
            "MPI.ANY_SOURCE, and give the next task to whoever has answered.",
            lambda f: f.status is Status.OVER_BUDGET and "ANY_SOURCE" not in f.source,
        ),
        Slip(
            "it takes too long: the tasks were dealt out beforehand, and the slow worker has as many as the others. "
            "Give one task at a time, the next one to whoever has answered.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
