"""ZeRO: the ranks share out what data parallelism keeps on every one of them.

=================  ===========================================================================================
units.py           the parameters of a module as one flat vector, and this rank's shard of it
exchange.py        reduce-scatter and all-gather of units; ranks tell each other first that they are well
state.py           shards put together to be saved, and cut again
stages.py          the strategies ``zero_1``, ``zero_2``, ``zero_3``
=================  ===========================================================================================

========  ===============  ==================  =====================================  ==========================
stage     sharded          bytes a rank        a step                                 bytes that a rank sends
========  ===============  ==================  =====================================  ==========================
1         optimizer        all but 1/N of it   gradients reduce-scattered at the end  2 Psi (N - 1)/N elements
2         and gradients    less gradients      ... as backward completes a unit       2 Psi (N - 1)/N
3         and parameters   16 Psi / N          ... parameters gathered when needed    3 Psi (N - 1)/N
========  ===============  ==================  =====================================  ==========================

S. Rajbhandari, J. Rasley, O. Ruwase, Y. He, ZeRO: memory optimizations toward training trillion parameter models, SC 2020
(arXiv 1910.02054).
"""
