"""Collective operations written with Send and Recv: every algorithm a function that can be read and run.

They run on real ranks (mpi4py) and on simulated ones, for any number of ranks and every root; those through shared
memory on the real ranks of one node.

================  =====================  =======================================================================
operation         file                   algorithms
================  =====================  =======================================================================
barrier           barrier.py             central, tree, dissemination
broadcast         broadcast.py           flat, chain (pipelined), binomial, scatter + all-gather, shared memory
scatter           scatter.py             flat, binomial; ``counts=`` for uneven blocks
gather            gather.py              flat, binomial; ``counts=``
all-gather        allgather.py           ring, recursive doubling, Bruck, neighbor exchange, shared memory; ``counts=``
reduce            reduce.py              flat, binomial, Rabenseifner
reduce-scatter    reduce_scatter.py      pairwise, recursive halving, ring; ``counts=``
all-reduce        allreduce.py           reduce + broadcast, recursive doubling, all pairs, Rabenseifner, Swing
\\                 allreduce_rings.py     ring, chunked ring, segmented ring
\\                 allreduce_nodes.py     hierarchical (by nodes), shared memory
all-to-all        alltoall.py            linear, pairwise, Bruck
scan, exscan      scan.py                linear, recursive doubling
all of them       registry.py            by name and by operation, with their cost (:mod:`labkit.mpi.cost`)
what they share   arguments.py           checks of arguments, blocks of a vector
\\                 messages.py            receives that notice when ranks disagree about sizes
\\                 shared_vectors.py      memory that the ranks of a node share
================  =====================  =======================================================================

Wrong arguments raise UsageError before anything is sent. Ranks that disagree about sizes get an MPIError
(MPI_ERR_COUNT, MPI_ERR_TRUNCATE), or wait for each other; types of equal size are not told apart, nor are
roots. An operation made by ``MPI.Op.Create`` must work on every part of a vector: where several elements
make one operand, use an algorithm that does not cut vectors (reduce_flat, reduce_binomial,
allreduce_reduce_broadcast, allreduce_recursive_doubling, scans) or counts that are multiples of it.
"""
