"""Which algorithm an MPI library would take for a collective, and why, said with the values of the call.

The rules are tables in :mod:`labkit.mpi.library_tables`; here they are looked up and put into words.
Everything is a pure function. What the tables cover, and what was checked where:

* Open MPI 5.0.2: the fixed rules of the component ``tuned``, read in BullSequana's tree 5.0.2.1; broadcast,
  reduce and reduce_scatter a second time in a copy without their changes. A build also has components
  (``han``, ``sm``, ``ucc``, ``hcoll``) that can come before ``tuned`` on several nodes or special networks;
  which one wins on a given machine was not checked.
* MPICH 5.0.2: the tree that its libmpi carries as text. ``maint/tuning/coll/mpir/generic.json`` in the
  repository (4.x series, release not known) has the same rules; an older copy has others for broadcast.
  They are the rules for a communicator seen as flat. On several nodes the layer above (``ch4``) splits
  broadcast, reduce, all-reduce, barrier and scan into a part within each node and one between nodes, and
  asks these rules again for the parts. The entries for 0 bytes (a hierarchical variant) are left out.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from dataclasses import dataclass
from numbers import Integral

from labkit.errors import UsageError
from labkit.mpi import library_tables as tables

LIBRARIES = ("openmpi", "mpich")
OPS = ("barrier", "broadcast", "scatter", "gather", "allgather", "reduce", "reduce_scatter", "allreduce",
       "alltoall", "scan", "exscan")

_TUNED = "Open MPI 5.0.2, ompi/mca/coll/tuned/coll_tuned_decision_fixed.c"
_BASIC = "Open MPI 5.0.2, ompi/mca/coll/basic/coll_basic_module.c"
_TREE = "MPICH 5.0.2, generic.json of the mpir layer, as built into libmpi"
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class LibraryChoice:
    """The algorithm that a library's default rules pick, and the rule that picked it.

    Attributes
    ----------
    algorithm : str or None
        Its name in labkit; None where labkit does not have it.
    library_name : str
        The library's own name for it, with its number where it has one.
    rule : str
        The rule with the values of the call.
    source : str
        Release and file.
    runs : str or None
        The name in labkit of what is executed in the end. It differs from ``algorithm`` where the library
        finds, inside the picked algorithm, that it cannot serve the call; then ``note`` says why.
    note : str
        One sentence, or empty.
    """

    algorithm: str | None
    library_name: str
    rule: str
    source: str
    runs: str | None = None
    note: str = ""

    @property
    def text(self) -> str:
        """All of it in one or two sentences."""
        here = f"in labkit {self.algorithm}" if self.algorithm else "which labkit does not have"
        text = f"{self.source}: {self.rule}, so the choice is {self.library_name}, {here}."
        return f"{text} {self.note}" if self.note else text


def library_choice(library: str, op: str, num_ranks: int, num_bytes: int, *, commutative: bool = True,
                   num_elements: int | None = None) -> LibraryChoice:
    """Return which algorithm a library's published default rules pick for a blocking collective.

    Both libraries compare the number of ranks and a number of bytes with thresholds that were once measured
    on some machines: worth knowing, and worth comparing with a measurement on one's own machine.

    Parameters
    ----------
    library : {"openmpi", "mpich"}
    op : str
        One of :data:`OPS`.
    num_ranks : int
        Size of the communicator, >= 1.
    num_bytes : int
        Bytes, >= 0. For broadcast: of the whole buffer. For allreduce, reduce, scan, exscan and
        reduce_scatter: of one rank's send buffer (in reduce_scatter the total vector). For scatter, gather,
        allgather and alltoall: of one block, what one rank gives to or gets from one other. For barrier it
        does not matter. The libraries compare just this; MPICH's allgather ``num_ranks * num_bytes``.
    commutative : bool
        Whether the operation commutes; only reductions look at it. True stands for a built-in operation,
        False for one of the user's own. MPICH's reduce and allreduce treat one of the user's own that commutes
        as one that does not.
    num_elements : int, optional
        Elements in those bytes. MPICH compares it with the largest power of two <= ``num_ranks``
        (allreduce, reduce); 8-byte elements are assumed if it is not given. Open MPI looks at it inside
        some algorithms; without it that look is left out of ``runs``.

    Returns
    -------
    LibraryChoice

    Raises
    ------
    UsageError
        Unknown library or op, ``num_ranks`` < 1, ``num_bytes`` < 0, ``num_elements`` < 0.

    Notes
    -----
    All ranks must pick the same algorithm, so rules look only at what is the same on all of them.

    References
    ----------
    The files in ``source``; R. Thakur, R. Rabenseifner and W. Gropp, "Optimization of Collective
    Communication Operations in MPICH", 2005, for how such thresholds come about.

    Examples
    --------
    >>> choice = library_choice("openmpi", "allreduce", 4, 8192)
    >>> choice.algorithm, choice.library_name
    ('allreduce_rabenseifner', '6 (rabenseifner)')
    >>> choice.rule
    '4 <= p = 4 < 8 and 8192 bytes >= 8192'
    >>> library_choice("mpich", "allreduce", 4, 16, num_elements=2).rule
    '16 bytes > 8 and the operation is built in and 2 elements < 4, the largest power of two <= p'
    >>> choice = library_choice("openmpi", "allgather", 6, 100)
    >>> choice.algorithm, choice.runs
    ('allgather_recursive_doubling', 'allgather_bruck')
    >>> library_choice("mpi", "allreduce", 4, 8)
    Traceback (most recent call last):
        ...
    labkit.errors.UsageError: there are no rules for library 'mpi'; choose openmpi or mpich.
    """
    if library not in LIBRARIES:
        raise UsageError(f"there are no rules for library {library!r}; choose {' or '.join(LIBRARIES)}.")
    if op not in OPS:
        raise UsageError(f"there are no rules for operation {op!r}; choose one of {', '.join(OPS)}.")
    num_ranks = _count("num_ranks", num_ranks, 1)
    num_bytes = _count("num_bytes", num_bytes, 0)
    if num_elements is not None:
        num_elements = _count("num_elements", num_elements, 0)
    choose = _openmpi if library == "openmpi" else _mpich
    return choose(op, num_ranks, num_bytes, commutative, num_elements)


def explain_choice(library: str, op: str, num_ranks: int, num_bytes: int, *, commutative: bool = True,
                   num_elements: int | None = None) -> str:
    """Return :func:`library_choice` in words; same parameters, same errors.

    Examples
    --------
    >>> print(explain_choice("mpich", "gather", 16, 65536))  # doctest: +NORMALIZE_WHITESPACE
    MPICH 5.0.2, generic.json of the mpir layer, as built into libmpi: the same algorithm at every p and
    size, so the choice is MPIR_Gather_intra_binomial, in labkit gather_binomial.
    """
    choice = library_choice(library, op, num_ranks, num_bytes, commutative=commutative,
                            num_elements=num_elements)
    return choice.text


def _count(name, value, smallest) -> int:
    """As an integer of Python: products of NumPy's may overflow."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < smallest:
        raise UsageError(f"{name} is a whole number >= {smallest}, not {value!r}: pass {smallest} or more.")
    return int(value)


def _openmpi(op, p, num_bytes, commutative, num_elements) -> LibraryChoice:
    if op in ("scan", "exscan"):
        name = f"{op}_linear"
        rule = "tuned has no default rule for it, and the component basic goes from rank to rank"
        return LibraryChoice(name, f"mca_coll_basic_{op}_intra", rule, _BASIC, runs=name)
    if p == 1:
        rule = "p = 1, and tuned serves communicators of 2 ranks or more"
        return LibraryChoice(None, "a local copy, by another component", rule, _TUNED)

    rows = tables.OPENMPI[op]
    if not commutative:
        rows = tables.OPENMPI_NONCOMMUTATIVE.get(op, rows)
    k = bisect_right([row[0] for row in rows], p)
    _, byte_limits, numbers = rows[k]
    m = bisect_right(byte_limits, num_bytes)

    reasons = [_between(rows[k - 1][0] if k else None, f"p = {p}", rows[k][0])]
    if byte_limits:
        high = (*byte_limits, tables.ANY)[m]
        reasons.append(_between(byte_limits[m - 1] if m else None, f"{num_bytes} bytes", high))
    if op in tables.OPENMPI_NONCOMMUTATIVE and not commutative:
        reasons.append("the operation does not commute")
    number = numbers[m]
    algorithm = tables.OPENMPI_TO_LABKIT[op].get(number)
    runs, note = _openmpi_substitute(op, number, p, num_elements) or (algorithm, "")
    name = f"{number} ({tables.OPENMPI_NAMES[op][number]})"
    return LibraryChoice(algorithm, name, " and ".join(filter(None, reasons)), _TUNED, runs=runs, note=note)


def _openmpi_substitute(op, number, p, num_elements) -> tuple[str, str] | None:
    """What the picked algorithm hands the call on to, and why; the conditions are in coll_base_<op>.c."""
    pow2 = 1 << (p.bit_length() - 1)
    short_of_p = num_elements is not None and num_elements < p
    few = f"{num_elements} elements cannot be cut into"
    match op, number:
        case "allgather", 3 if p != pow2:
            return "allgather_bruck", f"It needs a power of two; with p = {p} it runs Bruck's algorithm."
        case "allgather", 5 if p % 2:
            return "allgather_ring", f"It needs an even p; with p = {p} it runs the ring."
        case "allgather", 6:
            return "allgather_recursive_doubling", "For two ranks both are one exchange."
        case "alltoall", 5:
            return "alltoall_pairwise", "For two ranks both are one exchange."
        case "allreduce", 4 | 5 if short_of_p:
            return "allreduce_recursive_doubling", f"{few} {p} chunks; it runs recursive doubling."
        case "allreduce", 5:
            return "allreduce_ring", "The rules give it no segment size, so it runs the plain ring."
        case "allreduce", 6 if num_elements is not None and num_elements < pow2:
            return "allreduce_reduce_broadcast", f"{few} {pow2} chunks; it reduces and broadcasts linearly."
        case "reduce", 7 if num_elements is not None and num_elements < pow2:
            return "reduce_flat", f"{few} {pow2} chunks; it runs the linear reduce."
        case "broadcast", 8 if short_of_p:
            return "broadcast_flat", f"{few} {p} chunks; it runs the linear one."
    return None


def _between(low, value, high) -> str:
    """``low <= value < high`` without the ends that are open."""
    if high == tables.ANY:
        return "" if low is None else f"{value} >= {low}"
    return f"{value} < {high}" if low is None else f"{low} <= {value} < {high}"


def _mpich(op, p, num_bytes, commutative, num_elements) -> LibraryChoice:
    pow2 = 1 << (p.bit_length() - 1)
    count = num_bytes // 8 if num_elements is None else num_elements
    assumed = " (of 8 bytes, as num_elements is not given)" if num_elements is None else ""
    values = {
        "p": (p, f"p = {p}"),
        "bytes": (num_bytes, f"{num_bytes} bytes"),
        "total": (p * num_bytes, f"{p} * {num_bytes} = {p * num_bytes} bytes"),
        "count": (count, f"{count} elements{assumed}"),
    }
    facts = {"is a power of two": p == pow2, "is no power of two": p != pow2,
             "is built in": commutative, "does not commute (a user's own)": not commutative}

    def holds(condition):
        quantity, relation, limit = condition
        if relation in facts:
            return facts[relation]
        return _RELATIONS[relation](values[quantity][0], pow2 if limit == "pow2" else limit)

    def say(condition):
        quantity, relation, limit = condition
        subject = "the operation" if quantity == "op" else values[quantity][1]
        if limit == "pow2":
            return f"{subject} {relation} {pow2}, the largest power of two <= p"
        return f"{subject} {relation}" if limit is None else f"{subject} {relation} {limit}"

    conditions, name = next(rule for rule in tables.MPICH[op] if all(map(holds, rule[0])))
    rule = " and ".join(map(say, conditions)) or "the same algorithm at every p and size"
    algorithm = tables.MPICH_TO_LABKIT.get(name)
    return LibraryChoice(algorithm, name, rule, _TREE, runs=algorithm)
