"""Ghost rows from the neighbours, exchanged while the rank works."""

import numpy as np

from labkit.comm.network.model import alpha_beta
from labkit.grading.exercise import COLLECTIVES, COMPUTED_S, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

NETWORK = alpha_beta(10e-6, 1e-9, eager_limit_bytes=65536)


def halo_case(num_ranks, n, width=1, periodic=False, columns=None, dtype="float64", *, data_seed=0, **options):
    """One case; ranks with odd numbers have a row more. What is expected is cut out of the whole array."""
    random = np.random.default_rng([data_seed, num_ranks, n, width])
    sizes = [n + rank % 2 for rank in range(num_ranks)]
    tail = () if columns is None else (columns,)
    whole = random.integers(1, 10_000, (sum(sizes), *tail)).astype(dtype)
    ghosts = -random.integers(1, 10_000, (num_ranks, 2, width, *tail)).astype(dtype)  # what was there before
    starts = np.cumsum([0, *sizes])

    def block(rank):
        return np.concatenate([ghosts[rank, 0], whole[starts[rank] : starts[rank + 1]], ghosts[rank, 1]])

    def filled(rank):
        found = block(rank)
        if periodic or rank > 0:
            found[:width] = np.take(whole, range(starts[rank] - width, starts[rank]), axis=0, mode="wrap")
        if periodic or rank < num_ranks - 1:
            found[-width:] = np.take(whole, range(starts[rank + 1], starts[rank + 1] + width), axis=0, mode="wrap")
        return found

    message_bytes = ghosts[0, 0].nbytes
    work_s = 0.001 if options.get("real") else 5 * NETWORK.cost.message_s(message_bytes)
    budget = None
    if not options.get("real"):
        num_messages = 2 * num_ranks if periodic else 2 * (num_ranks - 1)
        budget = Budget(
            num_messages=num_messages, num_bytes=num_messages * message_bytes,
            time_s=None if "seed" in options else work_s,
        )
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", f"width {width}", "periodic" if periodic else "not periodic"]
    words += [f"{n} rows or one more" + (f" of {columns}" if columns else ""), dtype]
    words += ["every Isend waits"] * bool(options.get("unsafe_sends")) + ["messages delayed"] * ("seed" in options)
    words += ["real ranks"] * bool(options.get("real"))
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (block(rank), width, periodic, work_s),
        lambda rank: {0: filled(rank)} | ({} if options.get("real") else {COMPUTED_S: work_s}), network=NETWORK, budget=budget, **options,
    )


def cases():
    return [
        halo_case(1, 2), halo_case(1, 3, periodic=True), halo_case(2, 2), halo_case(2, 3, periodic=True),
        halo_case(2, 4, 2, periodic=True, columns=2, seed=2), halo_case(3, 2, unsafe_sends=True),
        halo_case(3, 2, 2, periodic=True, unsafe_sends=True), halo_case(4, 5, 2, columns=3),
        halo_case(5, 1, periodic=True, dtype="int32"), halo_case(6, 3, 3, periodic=True, columns=7, dtype="float32"),
        halo_case(7, 4, seed=1, unsafe_sends=True), halo_case(8, 2, 1, columns=500),
        halo_case(9, 6, 3, periodic=True, unsafe_sends=True), halo_case(16, 3, 2, periodic=True), halo_case(33, 1),
        halo_case(2, 3, 2, periodic=True, real=True), halo_case(4, 5, columns=3000, real=True),
    ]


def _frames(block, width):
    return block[:width], block[-width:]


def _all_ranks(failure, is_so):
    """Whether ``is_so(rank, actual block, expected block, block before, width)`` on every rank."""
    case = failure.case
    return failure.status is Status.INCORRECT and all(
        is_so(rank, failure.actual(rank, 0), case.expected[rank][0], case.arguments[rank][0], case.arguments[rank][1])
        for rank in range(case.num_ranks)
    )


def _swapped(rank, actual, expected, before, width):
    (upper, lower), (wanted_upper, wanted_lower) = _frames(actual, width), _frames(expected, width)
    return np.array_equal(upper, wanted_lower) and np.array_equal(lower, wanted_upper)


def _nothing_came(rank, actual, expected, before, width):
    return np.array_equal(actual, before)


def _wrapped(failure):
    """Not periodic, but the outer frames have changed."""
    case = failure.case
    if failure.status is not Status.INCORRECT or case.arguments[0][2]:
        return False
    width, last = case.arguments[0][1], case.num_ranks - 1
    return not (
        np.array_equal(failure.actual(0, 0)[:width], case.arguments[0][0][:width])
        and np.array_equal(failure.actual(last, 0)[-width:], case.arguments[last][0][-width:])
    )


def _ghosts_travelled(failure):
    """A ghost row is what a neighbour had in its ghost row."""
    case = failure.case
    width, below = case.arguments[0][1], 1 % case.num_ranks
    return failure.status is Status.INCORRECT and np.array_equal(
        failure.actual(0, 0)[-width:], case.arguments[below][0][:width]
    )


exercise = Exercise(
    title="Halo exchange behind the work",
    function="halo_exchange",
    points=4,
    points_over_budget=2,
    cases=cases,
    forbidden=(*COLLECTIVES, "Sendrecv", "Sendrecv_replace"),
    hints=(
        "Nothing may wait before the work: start all four transfers, work, and wait for them at the end. With two "
        "ranks on a ring both of your neighbours are one rank: what distinguishes its two messages?",
        "Find the two neighbours; MPI.PROC_NULL stands for nobody. Irecv into both frames, Isend the first and last "
        "width rows of your own, compute_for, Waitall. Give messages that move up one tag and those that move down "
        "another.",
        "requests = [comm.Irecv(block[:width], above, DOWN), comm.Irecv(block[-width:], below, UP), "
        "comm.Isend(block[width:2 * width], above, UP), comm.Isend(block[-2 * width:-width], below, DOWN)]; "
        "compute_for(comm, work_s); MPI.Request.Waitall(requests).",
    ),
    slips=(
        Slip(
            "the frames are right, and the work was left out: call compute_for(comm, work_s) once.",
            lambda f: f.status is Status.INCORRECT and "time computed" in f.message,
        ),
        Slip(
            "the outer ghost rows have changed although the ends are open. Without periodic, rank 0 has nobody "
            "above and the last rank nobody below: MPI.PROC_NULL.",
            _wrapped,
        ),
        Slip(
            "the upper and the lower ghost rows are exchanged: both neighbours are the same rank here, and its "
            "messages came in the order they were sent. Tag them by the direction they move in.",
            lambda f: f.case.num_ranks <= 2 and f.case.arguments[0][2] and _all_ranks(f, _swapped),
        ),
        Slip(
            "ghost rows were sent. The neighbours need your own rows next to the cut: block[width:2*width] and "
            "block[-2*width:-width].",
            _ghosts_travelled,
        ),
        Slip(
            "no ghost row has changed: a receive has its data only after its wait. Keep the requests, and Waitall "
            "at the end.",
            lambda f: _all_ranks(f, _nothing_came) and ".wait" not in f.source.lower(),
        ),
        Slip(
            "no ghost row has changed: receive into a slice of block, not into a copy of it.",
            lambda f: _all_ranks(f, _nothing_came),
        ),
        Slip(
            "every rank sends before it receives, and a send may wait for its receive. Start both with Irecv and "
            "Isend.",
            lambda f: f.status is Status.DEADLOCKED and ("sends first" in f.details or "waits for itself" in f.details),
        ),
        Slip(
            "messages and work come one after the other. Call compute_for after the last Isend and before the wait.",
            lambda f: f.status is Status.OVER_BUDGET and "compute_for" in f.source,
        ),
    ),
)
