"""Softmax as a ladder: from the definition to threads, GPUs and ranks, every version with one signature.

========================  =============================================================================================
naive.py                  the definition: overflows
shifted.py                the maximum subtracted first; log-softmax
online.py                 maximum and sum in one pass; the states (m, d) and their merge
two_pass.py               no maximum at all: sums with an exponent of their own
blocked.py                block by block, so that a block stays in the cache
threaded.py               threads, packed instructions (threaded_, short_row_, state_, backward_kernels, exp, processor)
triton_kernels.py         a GPU (gpu.py calls them)
vocabulary_parallel.py    columns spread over ranks, with cross-entropy
streaming.py              softmax times a matrix, and attention, without the matrix of probabilities
cross_entropy.py          the loss of rows, with label smoothing, and its gradient
options.py                temperature, masks, top-k
ladder.py                 all versions by name: ``softmax(x, version="online")``
accuracy.py               errors in ulp, and where the definition fails
calibration/              real digits classified: are the probabilities true?
arguments.py              checks that all versions share
========================  =============================================================================================

What every version but ``naive`` gives (C columns):

===========================  ==========================================================================================
finite logits of any size    probabilities; 1e4 and 1e38 are no trouble
some logits -inf             probability 0 there
all logits of a row -inf     NaN in the whole row, as in torch: 0/0, there is no distribution over nothing.
                             :func:`labkit.softmax.options.masked_softmax` gives zeros if asked to.
a logit +inf, or NaN         NaN in the whole row
C = 1                        1 (log-softmax: 0)
C = 0                        an array without columns
float16                      computed in float32, rounded once at the end
===========================  ==========================================================================================

Importing this package imports none of numba, torch, triton.
"""
