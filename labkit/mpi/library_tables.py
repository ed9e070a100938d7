"""Which collective algorithm Open MPI and MPICH take by default: their rules as tables of thresholds.

Only facts are here: numbers, and names. :mod:`labkit.mpi.library_rules` reads them and says why.

**Open MPI 5.0.2**, ``ompi/mca/coll/tuned/coll_tuned_decision_fixed.c``. A row of ``OPENMPI[op]`` is
``(ranks_below, byte_limits, numbers)``: it holds for communicators of fewer than ``ranks_below`` ranks
that no earlier row took, and ``numbers[k]`` is the algorithm for sizes from ``byte_limits[k-1]`` (included)
up to ``byte_limits[k]`` (excluded). ``OPENMPI_NONCOMMUTATIVE`` is for operations that do not commute.

**MPICH 5.0.2**, the selection tree ``generic.json`` of the ``mpir`` layer. An entry of ``MPICH[op]`` is
``(conditions, name)``, and a condition is ``(quantity, relation, limit)``. For any values
the conditions of exactly one entry all hold.
"""

K, M = 1024, 1024 * 1024
ANY = float("inf")

OPENMPI_NAMES = {
    "allreduce": {1: "basic_linear", 2: "nonoverlapping", 3: "recursive_doubling", 4: "ring",
                  5: "segmented_ring", 6: "rabenseifner"},
    "alltoall": {1: "linear", 2: "pairwise", 3: "modified_bruck", 4: "linear_sync", 5: "two_proc"},
    "barrier": {1: "linear", 2: "double_ring", 3: "recursive_doubling", 4: "bruck", 5: "two_proc",
                6: "tree"},
    "broadcast": {1: "basic_linear", 2: "chain", 3: "pipeline", 4: "split_binary_tree", 5: "binary_tree",
                  6: "binomial", 7: "knomial", 8: "scatter_allgather", 9: "scatter_allgather_ring"},
    "reduce": {1: "linear", 2: "chain", 3: "pipeline", 4: "binary", 5: "binomial", 6: "in-order_binary",
               7: "rabenseifner"},
    "reduce_scatter": {1: "non-overlapping", 2: "recursive_halving", 3: "ring", 4: "butterfly"},
    "allgather": {1: "linear", 2: "bruck", 3: "recursive_doubling", 4: "ring", 5: "neighbor",
                  6: "two_proc"},
    "gather": {1: "basic_linear", 2: "binomial", 3: "linear_sync"},
    "scatter": {1: "basic_linear", 2: "binomial", 3: "linear_nb"},
}

# A number that is missing here is an algorithm that labkit does not have.
OPENMPI_TO_LABKIT = {
    "allreduce": {1: "allreduce_reduce_broadcast", 2: "allreduce_reduce_broadcast",
                  3: "allreduce_recursive_doubling", 4: "allreduce_ring", 5: "allreduce_segmented_ring",
                  6: "allreduce_rabenseifner"},
    "alltoall": {1: "alltoall_linear", 2: "alltoall_pairwise", 3: "alltoall_bruck"},
    "barrier": {1: "barrier_central", 4: "barrier_dissemination", 6: "barrier_tree"},
    "broadcast": {1: "broadcast_flat", 2: "broadcast_chain", 3: "broadcast_chain", 6: "broadcast_binomial",
                  8: "broadcast_scatter_allgather", 9: "broadcast_scatter_allgather"},
    "reduce": {1: "reduce_flat", 5: "reduce_binomial", 7: "reduce_rabenseifner"},
    "reduce_scatter": {2: "reduce_scatter_recursive_halving", 3: "reduce_scatter_ring"},
    "allgather": {2: "allgather_bruck", 3: "allgather_recursive_doubling", 4: "allgather_ring",
                  5: "allgather_neighbor_exchange"},
    "gather": {1: "gather_flat", 2: "gather_binomial"},
    "scatter": {1: "scatter_flat", 2: "scatter_binomial"},
}

OPENMPI = {
    "allreduce": (
        (4, (8, 4*K, 8*K, 16*K, 64*K, 256*K), (4, 3, 4, 3, 4, 5, 6)),
        (8, (16, 8*K), (4, 3, 6)),
        (16, (8*K,), (3, 6)),
        (32, (64, 4*K), (5, 3, 6)),
        (64, (128,), (5, 6)),
        (128, (256*K,), (3, 6)),
        (256, (128*K, 256*K), (2, 3, 6)),
        (512, (4*K,), (2, 6)),
        (2048, (2*K, 16*K), (2, 3, 6)),
        (4096, (2*K, 4*K, 16*K), (2, 5, 3, 6)),
        (ANY, (2*K, 16*K, 32*K), (2, 5, 3, 6)),
    ),
    "alltoall": (
        (3, (2, 4, 16, 64, 256, 4*K, 32*K, 256*K, M), (2, 5, 2, 5, 2, 5, 2, 4, 5, 2)),
        (8, (8*K, 16*K, 64*K, 512*K, M), (4, 1, 4, 1, 2, 1)),
        (16, (256*K,), (4, 1)),
        (32, (4, 512, 8*K, 32*K, 256*K, 512*K), (4, 3, 4, 1, 4, 1, 4)),
        (64, (512, 512*K), (3, 1, 4)),
        (128, (K, 2*K, 4*K, 256*K), (3, 1, 4, 1, 2)),
        (256, (K, 2*K, 256*K), (3, 4, 1, 2)),
        (512, (K, 8*K, 32*K), (3, 4, 1, 2)),
        (1024, (512, 8*K, 16*K, 128*K, 256*K), (3, 4, 1, 4, 1, 2)),
        (2048, (512, K, 2*K, 16*K, 256*K), (3, 4, 1, 4, 1, 4)),
        (4096, (K, 4*K, 8*K, 128*K), (3, 4, 1, 4, 1)),
        (ANY, (2*K, 8*K, 16*K, 32*K, 64*K), (3, 4, 1, 4, 1, 4)),
    ),
    "barrier": ((4, (), (3,)), (8, (), (1,)), (64, (), (3,)), (256, (), (4,)), (512, (), (6,)),
                (1024, (), (4,)), (4096, (), (6,)), (ANY, (), (4,))),
    "broadcast": (
        (4, (32, 256, 512, K, 32*K, 128*K, 256*K, 512*K, M), (3, 5, 3, 7, 1, 5, 2, 1, 6, 5)),
        (8, (64, 128, 2*K, 8*K, M), (5, 6, 5, 6, 1, 2)),
        (16, (8, 64, 4*K, 16*K, 32*K), (7, 5, 7, 5, 6, 1)),
        (32, (4*K, M), (7, 6, 8)),
        (64, (2*K,), (6, 7)),
        (128, (), (7,)),
        (256, (2, 16*K, 32*K, 64*K), (6, 5, 1, 5, 7)),
        (1024, (16*K, 32*K), (7, 4, 7)),
        (2048, (512*K,), (7, 8)),
        (4096, (256*K,), (7, 8)),
        (ANY, (8*K, 16*K, 256*K), (7, 5, 7, 8)),
    ),
    "reduce": (
        (4, (8, 16, 32, 256*K, 512*K, M), (7, 4, 3, 1, 3, 2, 3)),
        (8, (4*K, 64*K, 256*K, 512*K, M), (4, 2, 5, 1, 5, 1)),
        (16, (8*K,), (4, 5)),
        (32, (4*K,), (4, 5)),
        (256, (), (5,)),
        (512, (8*K, 16*K), (5, 6, 5)),
        (2048, (), (5,)),
        (4096, (512, K, 8*K, 16*K), (5, 6, 5, 6, 5)),
        (ANY, (16, 32, K, 2*K, 8*K, 16*K), (5, 6, 5, 6, 5, 6, 5)),
    ),
    "reduce_scatter": (
        (4, (64*K, 128*K), (3, 4, 3)),
        (8, (8, 256*K), (1, 2, 3)),
        (32, (256*K,), (2, 3)),
        (64, (64, 2*K, 512*K), (1, 2, 4, 3)),
        (128, (256, 512, 2*K, 4*K), (1, 2, 4, 2, 4)),
        (256, (256, 512), (1, 2, 4)),
        (512, (256, K), (1, 2, 4)),
        (1024, (512, 2*K, 8*K, 16*K), (1, 2, 4, 2, 4)),
        (2048, (512, 4*K, 16*K, 32*K), (1, 2, 4, 2, 4)),
        (4096, (512, 4*K), (1, 2, 4)),
        (ANY, (K, 8*K), (1, 2, 4)),
    ),
    "allgather": (
        (3, (), (6,)),
        (32, (), (3,)),
        (64, (K, 64*K), (3, 5, 4)),
        (128, (512, 64*K), (3, 5, 4)),
        (256, (512, 128*K, 512*K, M), (3, 5, 4, 5, 4)),
        (512, (32, 128, K, 128*K, 512*K, M), (3, 2, 3, 5, 4, 5, 4)),
        (1024, (64, 256, 2*K), (3, 2, 3, 5)),
        (2048, (4, 8, 16, 32, 256, 512, 4*K), (3, 2, 3, 2, 3, 2, 3, 5)),
        (4096, (32, 128, 512, 4*K), (2, 3, 2, 3, 5)),
        (ANY, (2, 8, 16, 512, 4*K), (3, 2, 3, 2, 3, 5)),
    ),
    # Gather with 3 (linear_sync): as long as the switch for mixed datatypes is off, which it is by default.
    "gather": (
        (4, (2, 4, 32*K, 64*K, 128*K), (3, 1, 2, 1, 2, 3)),
        (8, (K, 8*K, 32*K, 256*K), (2, 1, 2, 1, 3)),
        (256, (), (2,)),
        (512, (2*K, 8*K), (2, 1, 2)),
        (ANY, (), (2,)),
    ),
    "scatter": (
        (4, (2, 128*K, 256*K), (3, 1, 3, 1)),
        (8, (2*K, 4*K, 8*K, 32*K, M), (2, 1, 2, 1, 3, 1)),
        (16, (16*K, M), (2, 3, 1)),
        (32, (16*K, 32*K), (2, 1, 3)),
        (64, (512, 8*K, 16*K), (2, 3, 2, 3)),
        (ANY, (512,), (2, 3)),
    ),
}

OPENMPI_NONCOMMUTATIVE = {
    "allreduce": (
        (4, (128*K,), (3, 1)),
        (8, (), (3,)),
        (16, (M,), (3, 2)),
        (128, (), (3,)),
        (256, (128*K, 512*K), (2, 3, 2)),
        (512, (4*K, 512*K), (2, 3, 2)),
        (ANY, (2*K,), (2, 3)),
    ),
    "reduce": (
        (4, (8,), (6, 1)),
        (8, (), (1,)),
        (16, (K, 8*K, 16*K, 256*K), (6, 1, 6, 1, 6)),
        (128, (), (6,)),
        (256, (512, K), (6, 1, 6)),
        (ANY, (), (6,)),
    ),
    "reduce_scatter": ((ANY, (), (1,)),),
}

_POW2, _OTHER = ("p", "is a power of two", None), ("p", "is no power of two", None)
_BUILT_IN, _USER = ("op", "is built in", None), ("op", "does not commute (a user's own)", None)
_FULL, _SHORT = ("count", ">=", "pow2"), ("count", "<", "pow2")

MPICH = {
    "barrier": (((), "MPIR_Barrier_intra_k_dissemination (k = 2)"),),
    "broadcast": (
        ((("p", "<", 8),), "MPIR_Bcast_intra_binomial"),
        ((("p", ">=", 8), ("bytes", "<=", 12288)), "MPIR_Bcast_intra_binomial"),
        ((("p", ">=", 8), _POW2, ("bytes", ">", 12288), ("bytes", "<=", 524288)),
         "MPIR_Bcast_intra_scatter_recursive_doubling_allgather"),
        ((("p", ">=", 8), _POW2, ("bytes", ">", 524288)), "MPIR_Bcast_intra_scatter_ring_allgather"),
        ((("p", ">=", 8), _OTHER, ("bytes", ">", 12288)), "MPIR_Bcast_intra_scatter_ring_allgather"),
    ),
    "scatter": (((), "MPIR_Scatter_intra_binomial"),),
    "gather": (((), "MPIR_Gather_intra_binomial"),),
    "allgather": (
        ((_POW2, ("total", "<", 524288)), "MPIR_Allgather_intra_recursive_doubling"),
        ((_POW2, ("total", ">=", 524288)), "MPIR_Allgather_intra_ring"),
        ((_OTHER, ("total", "<", 81920)), "MPIR_Allgather_intra_brucks"),
        ((_OTHER, ("total", ">=", 81920)), "MPIR_Allgather_intra_ring"),
    ),
    "reduce": (
        ((("bytes", "<=", 2048),), "MPIR_Reduce_intra_binomial"),
        ((("bytes", ">", 2048), _USER), "MPIR_Reduce_intra_binomial"),
        ((("bytes", ">", 2048), _BUILT_IN, _SHORT), "MPIR_Reduce_intra_binomial"),
        ((("bytes", ">", 2048), _BUILT_IN, _FULL), "MPIR_Reduce_intra_reduce_scatter_gather"),
    ),
    "reduce_scatter": (
        ((_BUILT_IN, ("bytes", "<", 524288)), "MPIR_Reduce_scatter_intra_recursive_halving"),
        ((_BUILT_IN, ("bytes", ">=", 524288)), "MPIR_Reduce_scatter_intra_pairwise"),
        ((_USER, _POW2), "MPIR_Reduce_scatter_intra_noncommutative"),
        ((_USER, _OTHER), "MPIR_Reduce_scatter_intra_recursive_doubling"),
    ),
    "allreduce": (
        ((("bytes", "<=", 8),), "MPIR_Allreduce_intra_recursive_doubling"),
        ((("bytes", ">", 8), _USER), "MPIR_Allreduce_intra_recursive_doubling"),
        ((("bytes", ">", 8), _BUILT_IN, _SHORT), "MPIR_Allreduce_intra_recursive_doubling"),
        ((("bytes", ">", 8), _BUILT_IN, _FULL), "MPIR_Allreduce_intra_reduce_scatter_allgather"),
    ),
    "alltoall": (
        ((("p", ">=", 8), ("bytes", "<=", 256)), "MPIR_Alltoall_intra_brucks"),
        ((("p", "<", 8), ("bytes", "<=", 32768)), "MPIR_Alltoall_intra_scattered"),
        ((("p", ">=", 8), ("bytes", ">", 256), ("bytes", "<=", 32768)), "MPIR_Alltoall_intra_scattered"),
        ((("bytes", ">", 32768),), "MPIR_Alltoall_intra_pairwise"),
    ),
    "scan": (((), "MPIR_Scan_intra_recursive_doubling"),),
    "exscan": (((), "MPIR_Exscan_intra_recursive_doubling"),),
}

MPICH_TO_LABKIT = {
    "MPIR_Barrier_intra_k_dissemination (k = 2)": "barrier_dissemination",
    "MPIR_Bcast_intra_binomial": "broadcast_binomial",
    "MPIR_Bcast_intra_scatter_recursive_doubling_allgather": "broadcast_scatter_allgather",
    "MPIR_Bcast_intra_scatter_ring_allgather": "broadcast_scatter_allgather",
    "MPIR_Scatter_intra_binomial": "scatter_binomial",
    "MPIR_Gather_intra_binomial": "gather_binomial",
    "MPIR_Allgather_intra_recursive_doubling": "allgather_recursive_doubling",
    "MPIR_Allgather_intra_ring": "allgather_ring",
    "MPIR_Allgather_intra_brucks": "allgather_bruck",
    "MPIR_Reduce_intra_binomial": "reduce_binomial",
    "MPIR_Reduce_intra_reduce_scatter_gather": "reduce_rabenseifner",
    "MPIR_Reduce_scatter_intra_recursive_halving": "reduce_scatter_recursive_halving",
    "MPIR_Reduce_scatter_intra_pairwise": "reduce_scatter_pairwise",
    "MPIR_Allreduce_intra_recursive_doubling": "allreduce_recursive_doubling",
    "MPIR_Allreduce_intra_reduce_scatter_allgather": "allreduce_rabenseifner",
    "MPIR_Alltoall_intra_brucks": "alltoall_bruck",
    "MPIR_Alltoall_intra_scattered": "alltoall_linear",
    "MPIR_Alltoall_intra_pairwise": "alltoall_pairwise",
    "MPIR_Scan_intra_recursive_doubling": "scan_recursive_doubling",
    "MPIR_Exscan_intra_recursive_doubling": "exscan_recursive_doubling",
}
