"""Cutting a model into stages: what each layer costs, and which cuts are best.

================  ============================================================================================
file              what it has
================  ============================================================================================
chain.py          layers in order of execution, with what they cost and what crosses the cuts between them
device.py         memory and links of what a stage runs on
cost.py           time and memory of a range of layers as a stage: one cost for all partitioners
result.py         ``Partition``: stages by the names of their modules
check.py          one validator
dynamic.py        dynamic programming on a chain
methods.py        partitioners by count, by parameters, the best one, and all tried
pipedream.py      stages with replicas
tree_walk.py      ranks handed down the tree of modules, as the SageMaker library does
registry.py       ``partition(chain, num_ranks, "chain")``
================  ============================================================================================

Everything here but the tracing is plain numbers: it needs no torch.
"""
