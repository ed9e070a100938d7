"""Letters of unknown length from unknown senders: probes, wildcards and the races between them."""

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def letters_case(num_ranks, num_letters, longest=9, *, data_seed=0, **options):
    """One case with ``num_letters`` letters from everywhere to everywhere, in the order they are sent."""
    random = np.random.default_rng([data_seed, num_ranks, num_letters])
    routes = random.integers(0, num_ranks, (num_letters, 2)).tolist()
    if num_ranks > 1 and num_letters > 3:  # several letters of a pair, of different lengths
        routes[1] = routes[2] = routes[0] = [num_ranks - 1, 0]
    letters = [random.integers(-999, 999, random.integers(0, longest + 1)).astype(float) for _ in routes]

    def outgoing(rank):
        return [(dest, letter) for (source, dest), letter in zip(routes, letters, strict=True) if source == rank]

    def incoming(rank):
        return [
            (source, letter) for wanted in range(num_ranks)
            for (source, dest), letter in zip(routes, letters, strict=True) if source == wanted and dest == rank
        ]

    budget = None
    if not options.get("real"):
        budget = Budget(num_messages=num_letters, num_bytes=sum(letter.nbytes for letter in letters))
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", f"{num_letters} letter{'s' * (num_letters != 1)}"]
    words += ["every Isend waits"] * bool(options.get("unsafe_sends")) + ["messages delayed"] * ("seed" in options)
    words += ["real ranks"] * bool(options.get("real"))
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (outgoing(rank), len(incoming(rank))),
        lambda rank: {"return": incoming(rank)}, budget=budget, **options,
    )


def cases():
    return [
        letters_case(1, 0), letters_case(1, 2, unsafe_sends=True), letters_case(2, 1), letters_case(2, 6, data_seed=2),
        letters_case(2, 5, 20_000, unsafe_sends=True), letters_case(3, 7, seed=1),
        letters_case(3, 12, seed=4, unsafe_sends=True), letters_case(4, 9, unsafe_sends=True),
        letters_case(5, 20, seed=2), letters_case(6, 3), letters_case(7, 30, seed=3),
        letters_case(8, 16, unsafe_sends=True), letters_case(9, 40, seed=5, unsafe_sends=True),
        letters_case(16, 40, seed=6), letters_case(33, 50), letters_case(2, 6, real=True),
        letters_case(4, 20, 3000, real=True),
    ]


def _pairs(failure, rank):
    """What a rank returned, as a list of (source, list of numbers)."""
    return [(int(source), np.asarray(letter).tolist()) for source, letter in failure.actual(rank)]


def _expected(failure, rank):
    return [(source, letter.tolist()) for source, letter in failure.case.expected[rank]["return"]]


def _all_ranks(failure, is_so):
    return failure.status is Status.INCORRECT and bool(failure.results) and all(
        is_so(_pairs(failure, rank), _expected(failure, rank)) for rank in range(failure.case.num_ranks)
    )


def _only_order(found, expected):
    return sorted(found) == sorted(expected)


def _sorted_by_source(found, expected):
    return [source for source, _ in found] == [source for source, _ in expected] and _only_order(found, expected)


def _eight_times(failure):
    """A letter has 8 times the numbers that it should have."""
    return failure.status is Status.INCORRECT and any(
        len(letter) == 8 * len(wanted) > 0
        for rank in range(failure.case.num_ranks)
        for (_, letter), (_, wanted) in zip(_pairs(failure, rank), _expected(failure, rank), strict=True)
    )


def _one_length_for_all(failure):
    lengths = {len(letter) for rank in range(failure.case.num_ranks) for _, letter in _pairs(failure, rank)}
    wanted = {len(letter) for rank in range(failure.case.num_ranks) for _, letter in _expected(failure, rank)}
    return failure.status is Status.INCORRECT and len(lengths) == 1 and len(wanted) > 0 and lengths != wanted


def _receives_from_any(source):
    """A probe, and a receive that does not name the sender which the probe found."""
    return "Probe(" in source and "Mprobe" not in source and "Recv(" in source


exercise = Exercise(
    title="Mail from unknown senders",
    function="exchange_letters",
    points=4,
    points_over_budget=2,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Two things are in the way: a send may wait for its receive, so start all sends without waiting; and an "
        "array for a letter must have the right length before the letter is received. Who tells the length?",
        "Isend for all letters. Then num_incoming times: Probe with ANY_SOURCE and a status, make an array of "
        "status.Get_count(MPI.DOUBLE) numbers, receive from status.Get_source(), and not from any source: another "
        "letter may have come meanwhile. Wait for the sends at the end, and sort by source alone.",
        "status = MPI.Status(); comm.Probe(MPI.ANY_SOURCE, MPI.ANY_TAG, status); source = status.Get_source(); "
        "letter = np.empty(status.Get_count(MPI.DOUBLE)); comm.Recv(letter, source, status.Get_tag()); "
        "received.append((source, letter)). At the end MPI.Request.Waitall(requests) and sorted(received, "
        "key=lambda pair: pair[0]), which keeps the order of equal sources.",
    ),
    slips=(
        Slip(
            "all ranks send first with a send that may wait for its receive. Start the sends with Isend, receive, "
            "and wait for the sends last.",
            lambda f: f.status is Status.DEADLOCKED and (".Send(" in f.source or ".send(" in f.source),
        ),
        Slip(
            "the ranks wait for their sends before they receive. Waitall comes after the receives.",
            lambda f: f.status is Status.DEADLOCKED and "Isend" in f.source,
        ),
        Slip(
            "a letter is longer than the buffer, and the length is not known beforehand. Probe first, and make a "
            "buffer of status.Get_count(MPI.DOUBLE) numbers.",
            lambda f: f.status is Status.CRASHED and "Recv" in f.details and "robe" not in f.source,
        ),
        Slip(
            "the probe found one letter and the receive took another one: after a wildcard probe, receive from "
            "status.Get_source() with status.Get_tag(), or use Mprobe.",
            lambda f: f.status in (Status.CRASHED, Status.INCORRECT) and _receives_from_any(f.source)
            and ("Recv" in f.details or f.case.seed is not None),
        ),
        Slip(
            "sorted() on the pairs compares the arrays where two sources are equal. Sort by the source alone: "
            "key=lambda pair: pair[0].",
            lambda f: f.status is Status.CRASHED and "sort" in f.details,
        ),
        Slip(
            "the letters are 8 times as long as they should be: Get_count() counts bytes unless you say "
            "Get_count(MPI.DOUBLE).",
            _eight_times,
        ),
        Slip(
            "all letters have the length of the buffer: return only what has been received.",
            _one_length_for_all,
        ),
        Slip(
            "the letters of one source are not in the order in which they were sent. A sort that looks at the "
            "source alone keeps it; a message with another tag may be received before an earlier one.",
            lambda f: _all_ranks(f, _sorted_by_source),
        ),
        Slip(
            "all letters are there, in the order of their arrival. Sort them by source.",
            lambda f: _all_ranks(f, _only_order),
        ),
        Slip(
            "the lengths travel in messages of their own. A probe tells the length of a message before it is "
            "received.",
            lambda f: f.status is Status.OVER_BUDGET and ".send(" not in f.source,
        ),
        Slip(
            "send pickles its object, which adds bytes to every message. Isend transfers the numbers alone.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
