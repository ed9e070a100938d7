"""Data parallel: every rank holds the whole model and a shard of each batch; gradients are added up over the ranks.

================  ============================================================================================
file              what it has
================  ============================================================================================
replicated.py     what all rungs share: equal models, buffers like rank 0's
naive.py          one all-reduce a parameter
flat.py           all gradients in one piece of memory: one all-reduce
buckets.py        plans: which gradients lie in which bucket
bucketed.py       one all-reduce a bucket, after the backward pass
overlapped.py     ... during the backward pass, by a thread that communicates
comm_thread.py    that thread
reducers.py       how one bucket is added up: the all-reduce by name
shared_sum.py     ... in memory that the ranks of a node share
node_memory.py    that memory, and bells to wait for without taking a core
compressed.py     ... in 16 bits, with error feedback
sparse.py         ... only the largest values, with error feedback
counting.py       counts messages and bytes
torch_ddp.py      torch's own DistributedDataParallel, for comparison
bugs.py           strategies with known bugs
equivalence.py    the check that tells them from right ones
================  ============================================================================================

The bits of the result: a sum of p numbers depends on its order. ``all_pairs`` adds in the order of the ranks, so it
gives what one process gives that takes the same shards one after the other (``num_micro_batches=p``). A
``recursive_doubling`` or a ``tree`` has one order for every element, so all plans of buckets give the same
bits. In rings and in Rabenseifner's algorithm the order depends on the place in the bucket. With 1 or 2 ranks there is
one order only: a + b = b + a.
"""
