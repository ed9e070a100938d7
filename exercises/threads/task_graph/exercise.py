"""A task graph: blocked Cholesky, with exactly the order that the blocks need."""

import numpy as np

from labkit.grading.exercise import Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.grading.threads import costs_too_much, threads_case


def tasks_of(num_blocks):
    """(blocks read, block written) of every task in the order of the serial program."""
    found = []
    for k in range(num_blocks):
        found.append(((), (k, k)))
        found += [(((k, k),), (i, k)) for i in range(k + 1, num_blocks)]
        found += [(((i, k), (j, k)), (i, j)) for j in range(k + 1, num_blocks) for i in range(j, num_blocks)]
    return found


def num_ordered_pairs(num_blocks):
    """Pairs of tasks of which one has to end before the other begins: two that meet at a block which one writes, and
    what follows from that."""
    tasks, before = tasks_of(num_blocks), []
    for later, (reads, writes) in enumerate(tasks):
        mine = set()
        for earlier, (its_reads, its_writes) in enumerate(tasks[:later]):
            if its_writes in (*reads, writes) or writes in its_reads:
                mine |= before[earlier] | {earlier}
        before.append(mine)
    return sum(map(len, before))


def path_accesses(num_blocks, b):
    """Accesses of the tasks on the longest path: factor, solve, update, factor, ..."""
    factor = sum(2 + 2 * c + (b - c - 1) * (2 + 2 * c) for c in range(b))
    solve = sum(3 + 2 * c for c in range(b)) * b
    update = b * b * (2 + 2 * b)
    return num_blocks * factor + (num_blocks - 1) * (solve + update)


def case(num_threads, num_blocks, block, *, data_seed=0, **options):
    """A symmetric positive definite matrix."""
    n = num_blocks * block
    rng = np.random.default_rng([num_threads, n, data_seed])
    square = rng.standard_normal((n, n))
    a = square @ square.T + n * np.eye(n)
    limits = {
        "num_ordered_pairs": num_ordered_pairs(num_blocks),
        "num_path_accesses": path_accesses(num_blocks, block) * 5 // 4 + 20,
    }
    return threads_case(
        num_threads, f"{num_blocks} x {num_blocks} blocks of {block} x {block}", (a, block),
        {0: np.tril(np.linalg.cholesky(a)) + np.triu(a, 1)}, limits=limits, rtol=1e-9, atol=1e-9, **options,
    )


def cases():
    return [
        case(2, 2, 1), case(1, 3, 2), case(2, 1, 3), case(2, 3, 1, seed=1), case(4, 3, 2, seed=2),
        case(3, 4, 1, seed=3),
        case(4, 5, 2, seed=4), case(8, 6, 1, seed=5), case(16, 4, 3, seed=6), case(64, 5, 1, seed=7),
        case(2, 6, 8, compiled=True), case(4, 3, 16, compiled=True),
    ]


exercise = Exercise(
    title="A task graph",
    function="cholesky",
    points=8,
    points_over_budget=3,
    cases=cases,
    time_limit_s=30.0,
    hints=(
        "For each of the three kinds of tasks: which block does it write, and which blocks does it only read? This "
        "is all that the runtime needs to know; it finds out the order by itself.",
        "Block (i, j) has the token number i * num_blocks + j. factor writes (k, k). solve writes (i, k) and reads "
        "(k, k). update writes (i, j), which it also reads, and reads (i, k) and (j, k). What is written goes into "
        "out, also if it is read, too.",
        "task_depend(team, update, (a, i, j, k, block), tokens, (i * num_blocks + j,), (i * num_blocks + k, j * "
        "num_blocks + k)), and in the same way task_depend(team, solve, ...) and task_depend(team, factor, ..., (k * "
        "num_blocks + k,), ()).",
    ),
    slips=(
        Slip(
            "Two tasks meet at a block, one of them writes it, and neither waits for the other. Each has to name this "
            "block: as out if it writes it, as in if it reads it.",
            lambda f: f.message.startswith("race"),
        ),
        Slip(
            "More tasks wait for each other than have to. Two tasks that only read a block need no order, and blocks "
            "need tokens of their own; taskwait and tokens for several blocks hold up tasks that could run.",
            lambda f: costs_too_much(f, "num_ordered_pairs"),
        ),
        Slip(
            "One after the other: the plan does the work itself, or its tasks are too large. A task for every block.",
            lambda f: costs_too_much(f, "num_path_accesses"),
        ),
        Slip(
            "Dependences count in the order in which the tasks are made: a task waits for those made before it. Make "
            "them in the order of the serial program: factor, solve, update.",
            lambda f: f.status is Status.INCORRECT,
        ),
    ),
)
