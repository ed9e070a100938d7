"""Cutting a model into stages: what each layer costs, and which cuts are best.

================  ============================================================================================
file              what it has
================  ============================================================================================
chain.py          layers in order of execution, with what they cost and what crosses the cuts between them
names.py          names of modules, folded and listed
device.py         memory and links of what a stage runs on
cost.py           time and memory of a range of layers as a stage: one cost for all partitioners
result.py         ``Partition``: stages by the names of their modules
check.py          one validator
dynamic.py        dynamic programming on a chain
methods.py        partitioners by count, by parameters, the best one, and all tried
pipedream.py      stages with replicas
tree_walk.py      ranks handed down the tree of modules, as the SageMaker library does
registry.py       ``partition(chain, num_ranks, "chain")``
tree.py           a model as a tree of modules with sizes and times
trace.py          ``trace_model(model, inputs)``: tree and chain from the first step
flow.py           pieces of a forward pass and what flows between them; fx_flow.py and hook_flow.py find it
measure.py        times and sizes of the pieces
placement.py      ranks by rules: convolutions here, fully connected layers there
================  ============================================================================================

Everything here but tracing and placement is plain numbers: it needs no torch.
"""
