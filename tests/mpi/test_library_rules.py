"""The rules against the project's checked excerpt, against MPICH's own library, and at their boundaries."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.mpi import library_tables
from labkit.mpi.library_rules import LIBRARIES, OPS, LibraryChoice, explain_choice, library_choice

LABKIT_ALGORITHMS = """barrier_central barrier_tree barrier_dissemination broadcast_flat broadcast_chain
broadcast_binomial broadcast_scatter_allgather scatter_flat scatter_binomial gather_flat gather_binomial
allgather_ring allgather_recursive_doubling allgather_bruck allgather_neighbor_exchange reduce_flat
reduce_binomial reduce_rabenseifner reduce_scatter_pairwise reduce_scatter_recursive_halving
reduce_scatter_ring allreduce_reduce_broadcast allreduce_recursive_doubling allreduce_ring
allreduce_segmented_ring allreduce_rabenseifner alltoall_pairwise alltoall_bruck alltoall_linear scan_linear
scan_recursive_doubling exscan_linear exscan_recursive_doubling""".split()

# The paragraph "Selection rules" of the project's reference sheet, word for word: Open MPI, all-reduce,
# commutative operation, total bytes. After the last band of the excerpt other rules hold.
EXCERPT = """p<4: <8:4 <4096:3 <8192:4 <16384:3 <65536:4 <262144:5 else 6 | p<8: <16:4 <8192:3 else 6 |
p<16: <8192:3 else 6 | p<32: <64:5 <4096:3 else 6 | p<64: <128:5 else 6 | p<128: <262144:3 else 6 |
p<256: <131072:2 <262144:3 else 6 | p<512: <4096:2 else 6"""
EXCERPT_NAMES = {2: "allreduce_reduce_broadcast", 3: "allreduce_recursive_doubling", 4: "allreduce_ring",
                 5: "allreduce_segmented_ring", 6: "allreduce_rabenseifner"}


def excerpt_number(p, num_bytes):
    for band in EXCERPT.replace("\n", " ").split("|"):
        head, rules = band.split(":", 1)
        if p < int(head.strip().removeprefix("p<")):
            for limit, number in re.findall(r"<(\d+):(\d)", rules):
                if num_bytes < int(limit):
                    return int(number)
            return int(rules.split("else")[1])
    raise AssertionError(f"the excerpt ends before p = {p}")


EXCERPT_LIMITS = [int(limit) for limit in re.findall(r"<(\d+):", EXCERPT) if int(limit) >= 8]
EXCERPT_BYTES = sorted({limit + d for limit in EXCERPT_LIMITS for d in (-1, 0, 1)} | {0})
EXCERPT_EDGES = (4, 8, 16, 32, 64, 128, 256, 512)
EXCERPT_RANKS = [p for p in sorted({e + d for e in EXCERPT_EDGES for d in (-1, 0, 1)} | {2}) if p < 512]


def test_the_excerpt_is_read_as_a_table():
    assert [excerpt_number(4, n) for n in (15, 16, 8191, 8192)] == [4, 3, 3, 6]
    assert EXCERPT_RANKS[0] == 2 and EXCERPT_RANKS[-1] == 511 and 262145 in EXCERPT_BYTES


@pytest.mark.parametrize("p", EXCERPT_RANKS)
def test_openmpi_allreduce_is_the_excerpt(p):
    for num_bytes in EXCERPT_BYTES:
        choice = library_choice("openmpi", "allreduce", p, num_bytes)
        number = excerpt_number(p, num_bytes)
        assert int(choice.library_name.split()[0]) == number, (p, num_bytes)
        assert choice.algorithm == EXCERPT_NAMES[number], (p, num_bytes)


# (operation, ranks, the last size in bytes of each stretch, the number in each stretch), typed from the
# source a second time, in bytes and not as limits in multiples of 1024. None: no end.
# What holds for these ranks holds between two neighbours of EDGES, the first included.
EDGES = {
    "allreduce": (512, 2048, 4096), "alltoall": (2, 3, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    "broadcast": (2, 4, 8, 16, 32, 64, 128, 256, 1024, 2048, 4096),
    "reduce": (2, 4, 8, 16, 32, 256, 512, 2048, 4096),
    "reduce_scatter": (2, 4, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    "allgather": (2, 3, 32, 64, 128, 256, 512, 1024, 2048, 4096), "gather": (2, 4, 8, 256, 512),
    "scatter": (2, 4, 8, 16, 32, 64),
}
ALL_SIZES = sorted({2**k + d for k in range(24) for d in (-1, 0, 1)})
NONCOMMUTATIVE_EDGES = {"allreduce": (2, 4, 8, 16, 128, 256, 512), "reduce": (2, 4, 8, 16, 128, 256),
                        "reduce_scatter": (2,)}
SPOTS = [
    ("allreduce", 512, (2047, 16383, None), (2, 3, 6)),
    ("allreduce", 2047, (2047, 16383, None), (2, 3, 6)),
    ("allreduce", 2048, (2047, 4095, 16383, None), (2, 5, 3, 6)),
    ("allreduce", 4096, (2047, 16383, 32767, None), (2, 5, 3, 6)),
    ("alltoall", 2, (1, 3, 15, 63, 255, 4095, 32767, 262143, 1048575, None),
     (2, 5, 2, 5, 2, 5, 2, 4, 5, 2)),
    ("alltoall", 3, (8191, 16383, 65535, 524287, 1048575, None), (4, 1, 4, 1, 2, 1)),
    ("alltoall", 8, (262143, None), (4, 1)),
    ("alltoall", 31, (3, 511, 8191, 32767, 262143, 524287, None), (4, 3, 4, 1, 4, 1, 4)),
    ("alltoall", 32, (511, 524287, None), (3, 1, 4)),
    ("alltoall", 64, (1023, 2047, 4095, 262143, None), (3, 1, 4, 1, 2)),
    ("alltoall", 128, (1023, 2047, 262143, None), (3, 4, 1, 2)),
    ("alltoall", 511, (1023, 8191, 32767, None), (3, 4, 1, 2)),
    ("alltoall", 512, (511, 8191, 16383, 131071, 262143, None), (3, 4, 1, 4, 1, 2)),
    ("alltoall", 1024, (511, 1023, 2047, 16383, 262143, None), (3, 4, 1, 4, 1, 4)),
    ("alltoall", 2048, (1023, 4095, 8191, 131071, None), (3, 4, 1, 4, 1)),
    ("alltoall", 4096, (2047, 8191, 16383, 32767, 65535, None), (3, 4, 1, 4, 1, 4)),
    ("broadcast", 2, (31, 255, 511, 1023, 32767, 131071, 262143, 524287, 1048575, None),
     (3, 5, 3, 7, 1, 5, 2, 1, 6, 5)),
    ("broadcast", 4, (63, 127, 2047, 8191, 1048575, None), (5, 6, 5, 6, 1, 2)),
    ("broadcast", 15, (7, 63, 4095, 16383, 32767, None), (7, 5, 7, 5, 6, 1)),
    ("broadcast", 16, (4095, 1048575, None), (7, 6, 8)),
    ("broadcast", 32, (2047, None), (6, 7)),
    ("broadcast", 64, (None,), (7,)),
    ("broadcast", 255, (1, 16383, 32767, 65535, None), (6, 5, 1, 5, 7)),
    ("broadcast", 256, (16383, 32767, None), (7, 4, 7)),
    ("broadcast", 1024, (524287, None), (7, 8)),
    ("broadcast", 2048, (262143, None), (7, 8)),
    ("broadcast", 4096, (8191, 16383, 262143, None), (7, 5, 7, 8)),
    ("reduce", 3, (7, 15, 31, 262143, 524287, 1048575, None), (7, 4, 3, 1, 3, 2, 3)),
    ("reduce", 4, (4095, 65535, 262143, 524287, 1048575, None), (4, 2, 5, 1, 5, 1)),
    ("reduce", 8, (8191, None), (4, 5)),
    ("reduce", 16, (4095, None), (4, 5)),
    ("reduce", 32, (None,), (5,)),
    ("reduce", 256, (8191, 16383, None), (5, 6, 5)),
    ("reduce", 512, (None,), (5,)),
    ("reduce", 2047, (None,), (5,)),
    ("reduce", 2048, (511, 1023, 8191, 16383, None), (5, 6, 5, 6, 5)),
    ("reduce", 4096, (15, 31, 1023, 2047, 8191, 16383, None), (5, 6, 5, 6, 5, 6, 5)),
    ("reduce_scatter", 2, (65535, 131071, None), (3, 4, 3)),
    ("reduce_scatter", 7, (7, 262143, None), (1, 2, 3)),
    ("reduce_scatter", 8, (262143, None), (2, 3)),
    ("reduce_scatter", 31, (262143, None), (2, 3)),
    ("reduce_scatter", 32, (63, 2047, 524287, None), (1, 2, 4, 3)),
    ("reduce_scatter", 64, (255, 511, 2047, 4095, None), (1, 2, 4, 2, 4)),
    ("reduce_scatter", 128, (255, 511, None), (1, 2, 4)),
    ("reduce_scatter", 256, (255, 1023, None), (1, 2, 4)),
    ("reduce_scatter", 512, (511, 2047, 8191, 16383, None), (1, 2, 4, 2, 4)),
    ("reduce_scatter", 1024, (511, 4095, 16383, 32767, None), (1, 2, 4, 2, 4)),
    ("reduce_scatter", 2048, (511, 4095, None), (1, 2, 4)),
    ("reduce_scatter", 4096, (1023, 8191, None), (1, 2, 4)),
    ("allgather", 2, (None,), (6,)),
    ("allgather", 3, (None,), (3,)),
    ("allgather", 31, (None,), (3,)),
    ("allgather", 32, (1023, 65535, None), (3, 5, 4)),
    ("allgather", 64, (511, 65535, None), (3, 5, 4)),
    ("allgather", 128, (511, 131071, 524287, 1048575, None), (3, 5, 4, 5, 4)),
    ("allgather", 256, (31, 127, 1023, 131071, 524287, 1048575, None), (3, 2, 3, 5, 4, 5, 4)),
    ("allgather", 512, (63, 255, 2047, None), (3, 2, 3, 5)),
    ("allgather", 1024, (3, 7, 15, 31, 255, 511, 4095, None), (3, 2, 3, 2, 3, 2, 3, 5)),
    ("allgather", 2048, (31, 127, 511, 4095, None), (2, 3, 2, 3, 5)),
    ("allgather", 4096, (1, 7, 15, 511, 4095, None), (3, 2, 3, 2, 3, 5)),
    ("gather", 3, (1, 3, 32767, 65535, 131071, None), (3, 1, 2, 1, 2, 3)),
    ("gather", 7, (1023, 8191, 32767, 262143, None), (2, 1, 2, 1, 3)),
    ("gather", 8, (None,), (2,)),
    ("gather", 255, (None,), (2,)),
    ("gather", 256, (2047, 8191, None), (2, 1, 2)),
    ("gather", 512, (None,), (2,)),
    ("scatter", 2, (1, 131071, 262143, None), (3, 1, 3, 1)),
    ("scatter", 7, (2047, 4095, 8191, 32767, 1048575, None), (2, 1, 2, 1, 3, 1)),
    ("scatter", 8, (16383, 1048575, None), (2, 3, 1)),
    ("scatter", 16, (16383, 32767, None), (2, 1, 3)),
    ("scatter", 32, (511, 8191, 16383, None), (2, 3, 2, 3)),
    ("scatter", 64, (511, None), (2, 3)),
]
NONCOMMUTATIVE_SPOTS = [
    ("allreduce", 3, (131071, None), (3, 1)),
    ("allreduce", 7, (None,), (3,)),
    ("allreduce", 8, (1048575, None), (3, 2)),
    ("allreduce", 16, (None,), (3,)),
    ("allreduce", 127, (None,), (3,)),
    ("allreduce", 128, (131071, 524287, None), (2, 3, 2)),
    ("allreduce", 256, (4095, 524287, None), (2, 3, 2)),
    ("allreduce", 512, (2047, None), (2, 3)),
    ("reduce", 2, (7, None), (6, 1)),
    ("reduce", 4, (None,), (1,)),
    ("reduce", 15, (1023, 8191, 16383, 262143, None), (6, 1, 6, 1, 6)),
    ("reduce", 16, (None,), (6,)),
    ("reduce", 128, (511, 1023, None), (6, 1, 6)),
    ("reduce", 256, (None,), (6,)),
    ("reduce_scatter", 4, (None,), (1,)),
]


@pytest.mark.parametrize("commutative, edges, spots", [
    (True, EDGES, SPOTS), (False, NONCOMMUTATIVE_EDGES, NONCOMMUTATIVE_SPOTS)])
def test_openmpi_at_every_boundary(commutative, edges, spots):
    seen = set()
    for op, p, lasts, numbers in spots:
        assert len(lasts) == len(numbers)
        low = max(edge for edge in edges[op] if edge <= p)
        high = min((edge for edge in edges[op] if edge > p), default=1_000_001) - 1
        seen.add((op, low))
        for num_bytes in ALL_SIZES:
            number = next(k for last, k in zip(lasts, numbers) if last is None or num_bytes <= last)
            for ranks in {low, p, high}:
                choice = library_choice("openmpi", op, ranks, num_bytes, commutative=commutative)
                assert int(choice.library_name.split()[0]) == number, (op, ranks, num_bytes)
    assert seen == {(op, low) for op, lows in edges.items() for low in lows}


def test_openmpi_barrier():
    ends = {3: 3, 7: 1, 63: 3, 255: 4, 511: 6, 1023: 4, 4095: 6, 100_000: 4}
    first = 2
    for last, number in ends.items():
        for p in (first, last):
            assert library_choice("openmpi", "barrier", p, 0).library_name.startswith(f"{number} ("), p
        first = last + 1
    assert library_choice("openmpi", "barrier", 7, 10).rule == "4 <= p = 7 < 8"


@pytest.mark.parametrize("op", ["scan", "exscan"])
def test_scans(op):
    assert library_choice("openmpi", op, 5, 8).algorithm == f"{op}_linear"
    assert library_choice("mpich", op, 5, 8).algorithm == f"{op}_recursive_doubling"


def test_one_rank_is_not_for_tuned():
    choice = library_choice("openmpi", "allreduce", 1, 8)
    assert (choice.algorithm, choice.runs) == (None, None) and "p = 1" in choice.rule


@pytest.mark.parametrize("op, p, num_bytes, num_elements, algorithm, runs", [
    ("allgather", 6, 8, None, "allgather_recursive_doubling", "allgather_bruck"),
    ("allgather", 8, 8, None, "allgather_recursive_doubling", "allgather_recursive_doubling"),
    ("allgather", 33, 4096, None, "allgather_neighbor_exchange", "allgather_ring"),
    ("allgather", 34, 4096, None, "allgather_neighbor_exchange", "allgather_neighbor_exchange"),
    ("allgather", 2, 8, None, None, "allgather_recursive_doubling"),
    ("alltoall", 2, 2, None, None, "alltoall_pairwise"),
    ("allreduce", 3, 4, 2, "allreduce_ring", "allreduce_recursive_doubling"),
    ("allreduce", 3, 6, 3, "allreduce_ring", "allreduce_ring"),
    ("allreduce", 16, 8, None, "allreduce_segmented_ring", "allreduce_ring"),
    ("allreduce", 16, 8, 15, "allreduce_segmented_ring", "allreduce_recursive_doubling"),
    ("allreduce", 7, 8192, 3, "allreduce_rabenseifner", "allreduce_reduce_broadcast"),
    ("allreduce", 7, 8192, 4, "allreduce_rabenseifner", "allreduce_rabenseifner"),
    ("reduce", 2, 4, 1, "reduce_rabenseifner", "reduce_flat"),
    ("reduce", 2, 4, 2, "reduce_rabenseifner", "reduce_rabenseifner"),
    ("broadcast", 16, 1 << 20, 15, "broadcast_scatter_allgather", "broadcast_flat"),
    ("broadcast", 16, 1 << 20, 16, "broadcast_scatter_allgather", "broadcast_scatter_allgather"),
])
def test_openmpi_hands_on_what_it_cannot_serve(op, p, num_bytes, num_elements, algorithm, runs):
    choice = library_choice("openmpi", op, p, num_bytes, num_elements=num_elements)
    assert (choice.algorithm, choice.runs) == (algorithm, runs)
    assert bool(choice.note) == (algorithm != runs) and choice.note in choice.text


def test_mpich_allreduce():
    for p in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64):
        pow2 = max(2**k for k in range(8) if 2**k <= p)
        for num_bytes in (0, 7, 8, 9, 16, 1 << 20):
            for count in (pow2 - 1, pow2, pow2 + 1):
                for commutative in (True, False):
                    choice = library_choice("mpich", "allreduce", p, num_bytes, commutative=commutative,
                                            num_elements=count)
                    doubling = num_bytes <= 8 or count < pow2 or not commutative
                    name = "allreduce_recursive_doubling" if doubling else "allreduce_rabenseifner"
                    assert choice.algorithm == choice.runs == name, (p, num_bytes, count, commutative)


def test_mpich_assumes_elements_of_8_bytes():
    assert library_choice("mpich", "allreduce", 8, 63).algorithm == "allreduce_recursive_doubling"
    assert library_choice("mpich", "allreduce", 8, 64).algorithm == "allreduce_rabenseifner"
    assert "num_elements is not given" in library_choice("mpich", "allreduce", 8, 64).rule


def test_mpich_broadcast():
    for p in (1, 2, 7, 8, 9, 12, 15, 16, 17, 64):
        for num_bytes in (0, 12287, 12288, 12289, 524287, 524288, 524289):
            if p < 8 or num_bytes <= 12288:
                name = "MPIR_Bcast_intra_binomial"
            elif p in (8, 16, 64) and num_bytes <= 524288:
                name = "MPIR_Bcast_intra_scatter_recursive_doubling_allgather"
            else:
                name = "MPIR_Bcast_intra_scatter_ring_allgather"
            assert library_choice("mpich", "broadcast", p, num_bytes).library_name == name, (p, num_bytes)


@pytest.mark.parametrize("op, p, num_bytes, algorithm", [
    ("allgather", 4, 131071, "allgather_recursive_doubling"), ("allgather", 4, 131072, "allgather_ring"),
    ("allgather", 5, 16383, "allgather_bruck"), ("allgather", 5, 16384, "allgather_ring"),
    ("reduce", 4, 2048, "reduce_binomial"), ("reduce", 4, 2049, "reduce_rabenseifner"),
    ("reduce_scatter", 5, 524287, "reduce_scatter_recursive_halving"),
    ("reduce_scatter", 5, 524288, "reduce_scatter_pairwise"),
    ("alltoall", 7, 256, "alltoall_linear"), ("alltoall", 8, 256, "alltoall_bruck"),
    ("alltoall", 8, 257, "alltoall_linear"), ("alltoall", 8, 32768, "alltoall_linear"),
    ("alltoall", 7, 32768, "alltoall_linear"), ("alltoall", 7, 32769, "alltoall_pairwise"),
    ("alltoall", 8, 32769, "alltoall_pairwise"), ("barrier", 6, 0, "barrier_dissemination"),
    ("gather", 6, 1 << 30, "gather_binomial"), ("scatter", 6, 1 << 30, "scatter_binomial"),
])
def test_mpich_boundaries(op, p, num_bytes, algorithm):
    assert library_choice("mpich", op, p, num_bytes).algorithm == algorithm


def test_mpich_user_operations():
    assert library_choice("mpich", "reduce", 4, 1 << 20, commutative=False).algorithm == "reduce_binomial"
    for p, name in ((4, "noncommutative"), (5, "recursive_doubling")):
        choice = library_choice("mpich", "reduce_scatter", p, 8, commutative=False)
        assert choice.algorithm is None and choice.library_name == f"MPIR_Reduce_scatter_intra_{name}"


def library_tree():
    """The selection tree that this environment's MPICH carries as text in its library, or None."""
    for path in sorted(Path(sys.prefix, "lib").glob("libmpi.so*")):
        for text in re.findall(rb'\{"collective=bcast".+?(?=\0)', path.read_bytes()):
            if b'"algorithm=MPIR_Bcast_intra_binomial"' in text:
                return json.loads(text)
    return None


def walk(node, values):
    """Follow a tree to its leaf, as the library does: the first key that holds."""
    for key, below in node.items():
        if key.startswith("algorithm="):
            return key.removeprefix("algorithm=")
        quantity, relation, limit = re.fullmatch(r"(\w+?)(<=|<|=)(\w+)", key).groups()
        value = values[quantity]
        if relation == "=":
            found = limit == "any" or (limit == "pow2" and value & (value - 1) == 0) or limit == value
        else:
            number = values["pow2"] if limit == "pow2" else int(limit)
            found = value <= number if relation == "<=" else value < number
        if found:
            return walk(below, values)
    raise AssertionError(f"no key of {list(node)} holds")


def test_mpich_tables_are_those_of_the_installed_library():
    tree = library_tree()
    if tree is None:
        pytest.skip("this environment's MPI library is not the mpich wheel")
    sizes = {n + d for n in (8, 256, 2048, 12288, 32768, 81920, 524288) for d in (-1, 0, 1)}
    num_checked = 0
    for op in OPS:
        branch = tree["collective=" + op.replace("broadcast", "bcast")]
        for p in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 80, 128):
            pow2 = 1 << (p.bit_length() - 1)
            blocks = {n // p + d for n in (81920, 524288) for d in (-1, 0, 1)}
            for num_bytes in blocks if op == "allgather" else sizes:
                for count in (pow2 - 1, pow2):
                    for commutative in (True, False):
                        yes = "yes" if commutative else "no"
                        values = dict(comm_type="intra", comm_size=p, comm_hierarchy="flat", pow2=pow2,
                                      avg_msg_size=num_bytes, count=count, is_commutative=yes,
                                      total_msg_size=num_bytes * (p if op == "allgather" else 1),
                                      is_op_built_in=yes, is_sendbuf_inplace="no", is_block_regular="yes",
                                      is_node_consecutive="no")
                        choice = library_choice("mpich", op, p, num_bytes, commutative=commutative,
                                                num_elements=count)
                        assert choice.library_name.split()[0] == walk(branch, values), (op, values)
                        num_checked += 1
    assert num_checked > 1000


def test_exactly_one_rule_of_mpich_holds(monkeypatch):
    calls = [(op, p, num_bytes, commutative) for op in OPS for p in (1, 4, 7, 8, 9)
             for num_bytes in (8, 9, 257, 2048, 12289, 32769, 81920, 524288, 524289)
             for commutative in (True, False)]

    def choices():
        return [library_choice("mpich", *call[:3], commutative=call[3]).rule for call in calls]

    forwards = choices()
    backwards = {op: tuple(reversed(rules)) for op, rules in library_tables.MPICH.items()}
    monkeypatch.setattr(library_tables, "MPICH", backwards)
    assert choices() == forwards


def test_choices_name_algorithms_of_labkit_and_say_their_values():
    for library in LIBRARIES:
        for op in OPS:
            for p in (1, 2, 3, 4, 6, 8, 33, 64, 300, 600, 1500, 3000, 5000):
                for num_bytes in (0, 1, 100, 3000, 10_000, 100_000, 600_000, 3_000_000):
                    choice = library_choice(library, op, p, num_bytes)
                    assert {choice.algorithm, choice.runs} <= {None, *LABKIT_ALGORITHMS}
                    assert choice.algorithm is None or choice.algorithm.startswith(op + "_")
                    assert choice.library_name in choice.text and choice.rule in choice.text
                    assert choice.source in choice.text and "5.0.2" in choice.source
                    assert choice.text.count("\n") == 0 and "None" not in choice.text
                    assert choice.text == explain_choice(library, op, p, num_bytes)


def test_tables_have_their_shape():
    for table in (library_tables.OPENMPI, library_tables.OPENMPI_NONCOMMUTATIVE):
        for op, rows in table.items():
            ranks_below = [row[0] for row in rows]
            assert ranks_below == sorted(set(ranks_below)) and ranks_below[-1] == library_tables.ANY
            for _, byte_limits, numbers in rows:
                assert list(byte_limits) == sorted(set(byte_limits))
                assert len(numbers) == len(byte_limits) + 1
                assert set(numbers) <= set(library_tables.OPENMPI_NAMES[op])


def test_a_choice_cannot_be_changed():
    choice = library_choice("openmpi", "reduce", 4, 8)
    assert isinstance(choice, LibraryChoice)
    with pytest.raises(AttributeError):
        choice.algorithm = "reduce_flat"


@pytest.mark.parametrize("arguments, words", [
    (("intel", "reduce", 4, 8), ["'intel'", "openmpi", "mpich"]),
    (("mpich", "bcast", 4, 8), ["'bcast'", "broadcast", "exscan"]),
    (("mpich", "reduce", 0, 8), ["num_ranks", ">= 1", "not 0"]),
    (("mpich", "reduce", 2.5, 8), ["num_ranks", "2.5"]),
    (("openmpi", "reduce", 4, -1), ["num_bytes", ">= 0", "not -1"]),
    (("mpich", "reduce", True, 8), ["num_ranks", "not True"]),
    (("mpich", "reduce", 4, None), ["num_bytes", "not None"]),
])
def test_bad_arguments(arguments, words):
    for function in (library_choice, explain_choice):
        with pytest.raises(UsageError) as caught:
            function(*arguments)
        assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("op", OPS)
def test_the_integers_of_numpy_choose_as_those_of_python(library, op):
    for p, num_bytes in ((7, 100), (8, 2**31 - 1), (100_000, 2**31 - 1)):  # products beyond 32 bits
        expected = explain_choice(library, op, p, num_bytes, num_elements=5)
        assert explain_choice(library, op, np.int32(p), np.int32(num_bytes), num_elements=np.int64(5)) == expected


def test_a_bad_number_of_elements():
    with pytest.raises(UsageError, match="num_elements .* not -1"):
        library_choice("mpich", "reduce", 4, 8, num_elements=-1)
