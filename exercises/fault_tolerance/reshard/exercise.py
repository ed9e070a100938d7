"""A flat vector, written by some ranks and read by others."""

import math

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.training.checkpoint.pieces import even_share

MOST_ELEMENTS = 10**5


def element_by_element(num_elements, num_old, num_new, rank):
    """Who wrote each element, and where; neighbours in one file make a piece."""
    owner, place = np.empty(num_elements, np.int64), np.empty(num_elements, np.int64)
    for old in range(num_old):
        start, stop = even_share(num_elements, old, num_old)
        owner[start:stop], place[start:stop] = old, np.arange(stop - start)
    pieces = []
    for element in range(*even_share(num_elements, rank, num_new)):
        if not pieces or pieces[-1][0] != owner[element]:
            pieces.append([int(owner[element]), int(place[element]), int(place[element])])
        pieces[-1][2] += 1
    return pieces


def overlaps(num_elements, num_old, num_new, rank):
    """For many elements: the overlap of the new share with that of every old rank."""
    start, stop = even_share(num_elements, rank, num_new)
    shares = [even_share(num_elements, old, num_old) for old in range(num_old)]
    return [
        [old, max(start, first) - first, min(stop, last) - first]
        for old, (first, last) in enumerate(shares) if max(start, first) < min(stop, last)
    ]


def case(num_elements, num_old, num_new, rank):
    oracle = element_by_element if num_elements <= MOST_ELEMENTS else overlaps
    arguments = (num_elements, num_old, num_new, rank)
    return Case(
        f"{num_elements} elements, {num_old} ranks before, rank {rank} of {num_new} now", (arguments,),
        ({"return": oracle(*arguments)},),
    )


def cases():
    sizes = [
        (4, 2, 2), (8, 2, 4), (8, 4, 2), (10, 4, 3), (10, 3, 4), (7, 1, 3), (7, 3, 1), (5, 4, 2), (5, 2, 4), (0, 2, 3),
    ]
    return [
        *(case(n, p, q, rank) for n, p, q in sizes for rank in range(q)),
        case(3, 5, 2, 1), case(3, 2, 5, 4), case(1000, 7, 6, 5), case(1001, 6, 7, 3), case(10**12 + 7, 96, 40, 39),
        case(2**60 + 1, 2, 3, 1),
    ]


def _share(n, p, r):
    return even_share(n, r, p)


def _balanced(n, p, r):
    return r * (n // p) + min(r, n % p), (r + 1) * (n // p) + min(r + 1, n % p)


def _rest_to_the_last(n, p, r):
    return r * (n // p), n if r == p - 1 else (r + 1) * (n // p)


def _unlimited(n, p, r):
    block = -(-n // p)
    return r * block, (r + 1) * block


def _by_floats(n, p, r):
    block = math.ceil(n / p)
    return min(r * block, n), min((r + 1) * block, n)


def _piece(old, first, last, start, stop):
    return [old, start - first, stop - first]


def _read(share=_share, *, piece=_piece, empty=False):
    """Overlaps with other shares, written in another way."""

    def variant(n, p, q, rank):
        start, stop = share(n, q, rank)
        found = []
        for old in range(p):
            first, last = share(n, p, old)
            if max(start, first) < min(stop, last) or empty:
                found.append(piece(old, first, last, max(start, first), max(min(stop, last), max(start, first))))
        return found

    return variant


def _gives(variant):
    """Whether the result is what ``variant(n, p, q, rank)`` gives."""

    def applies(failure):
        wrong, actual = variant(*failure.case.arguments[0]), failure.actual(0)
        return failure.status is Status.INCORRECT and [list(piece) for piece in actual] == wrong

    return applies


exercise = Exercise(
    title="The same weights, other ranks",
    function="reshard",
    points=3,
    cases=cases,
    hints=(
        "Where does the new part begin and end, counted in the whole vector? In whose file is its first element, and "
        "where does that file end?",
        "Both cuts have blocks of ceil(n / p) elements, for p and for q: -(-n // p). Element i is in the file of rank "
        "i // b, at i - (i // b) * b. Go from one edge of an old block to the next, until the new part ends.",
        "start, stop = min(rank * new, n), min((rank + 1) * new, n)\n"
        "while start < stop:\n"
        "    owner = start // old\n"
        "    end = min(stop, (owner + 1) * old)\n"
        "    pieces.append([owner, start - owner * old, end - owner * old])\n"
        "    start = end",
    ),
    slips=(
        Slip(
            "These are places in the whole vector. Each file begins with element 0 of its own: subtract where the old "
            "rank's block begins.",
            _gives(_read(piece=lambda old, first, last, start, stop: [old, start, stop])),
        ),
        Slip(
            "stop is the element after the last one, as in slices: every piece is one short.",
            _gives(_read(piece=lambda old, first, last, start, stop: [old, start - first, stop - first - 1])),
        ),
        Slip(
            "Second comes the place where the piece ends, not its number of elements.",
            _gives(_read(piece=lambda old, first, last, start, stop: [old, start - first, stop - start])),
        ),
        Slip(
            "Whole files are read here. Only the elements of the rank's own new part are needed: of the first and the "
            "last file often a piece.",
            _gives(_read(piece=lambda old, first, last, start, stop: [old, 0, last - first])),
        ),
        Slip(
            "Pieces without an element are among the others: leave out the files of which nothing is read.",
            _gives(_read(empty=True)),
        ),
        Slip(
            "Only one file is read. The new part may go on in the next one, or over several.",
            _gives(lambda *a: overlaps(*a)[:1]),
        ),
        Slip(
            "The old and the new number of ranks are exchanged: files are those of num_old ranks, the part is that of "
            "one of num_new.",
            _gives(lambda n, p, q, rank: overlaps(n, q, p, rank)),
        ),
        Slip(
            "Here the rest is spread over the first ranks, one more for each. The blocks of this exercise are all of "
            "ceil(n / p) elements, and what is missing is missing at the end.",
            _gives(_read(_balanced)),
        ),
        Slip(
            "n // p rounds down, and the rest goes to the last rank. Here blocks are rounded up: -(-n // p), and the "
            "last ranks have less.",
            _gives(_read(_rest_to_the_last)),
        ),
        Slip(
            "The last block ends at n, and so does the last file. Here a piece goes beyond it: take min(..., n).",
            _gives(_read(_unlimited)),
        ),
        Slip(
            "n / p is a float, and floats have 53 bits: of so many elements the last digits are lost. -(-n // p) "
            "rounds up with whole numbers only.",
            lambda f: f.case.arguments[0][0] > 2**53 and _gives(_read(_by_floats))(f),
        ),
        Slip(
            "There may be no elements at all: then the blocks have 0 of them, and nothing can be divided by that.",
            lambda f: f.status is Status.CRASHED and "ZeroDivisionError" in f.message + f.details,
        ),
        Slip(
            "A list of all elements needs more memory than there is. Calculate with the edges of the blocks.",
            lambda f: f.status in (Status.CRASHED, Status.TIMED_OUT) and f.case is not None
            and f.case.arguments[0][0] > MOST_ELEMENTS,
        ),
    ),
)
