"""Short formats at work: matrix products with longer accumulators, loss scaling, stochastic rounding.

=================  ===================================================================================
file               what it has
=================  ===================================================================================
product.py         a matrix product with rounded inputs, an accumulator's format, sums in chunks
kernels.py         its compiled loop
growth.py          errors over the number of terms, with their bound
gpu.py             the same on a GPU's tensor cores
digits.py          handwritten digits to train on
training.py        a small network, every rounding of a step named
loss_scaling.py    static and dynamic loss scaling, gradients that become 0
updates.py         small updates: lost, or kept on average by stochastic rounding
=================  ===================================================================================
"""
