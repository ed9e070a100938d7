"""What the collective algorithms cost, exactly: rounds, bytes, reductions as functions of p and n.

A *round* is one step of the longest chain of messages in which each had to wait for the one before,
when a rank sends one message and receives one at a time. The time of an algorithm is then about

    alpha * num_rounds + beta * path_bytes + gamma * path_reduced_bytes

where ``path_bytes`` adds up the largest message of each round and ``path_reduced_bytes`` the largest
reduction. The simulator counts the same numbers message by message, and the tests compare the two.

For p = 2^k and blocks of equal size the rounds are in lockstep, and this is exactly the time that the
simulator needs on an alpha-beta-gamma network. Two algorithms are faster than that, because they combine
while the next message is on its way: ``reduce_flat`` pays gamma for the last vector only, if gamma is
smaller than beta, and ``allreduce_segmented_ring`` with more than one segment a block. For other p ranks
fall out of step: the counts stay exact, the time becomes an estimate.

Roots are rank 0. Notation: p ranks, n elements of ``itemsize`` bytes (in the whole buffer, all blocks
together), m the largest power of two up to p, rest = p - m.

References
----------
Thakur, Rabenseifner, Gropp 2005, table 1. Where p is no power of two, or n no multiple of p, the counts
here are derived from the algorithms as they stand in :mod:`labkit.mpi.collectives`.
"""

from labkit.mpi.cost import moving, reducing
from labkit.mpi.cost.model import COSTS, Cost

__all__ = ["COSTS", "Cost", "moving", "reducing"]
