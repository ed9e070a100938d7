"""Pipelines: a model cut into stages, and the micro-batches that pass through them.

=================  ===========================================================================================
file               what it has
=================  ===========================================================================================
actions.py         what a stage does with a micro-batch: F, B, W, BW; its text form
plan.py            a schedule as a value: the order of actions of each rank; its text form
dependencies.py    what an action needs
rules.py           the rules of a plan, and which action breaks one first
gpipe.py           all forwards, then all backwards
one_f_one_b.py     backwards as early as they can
=================  ===========================================================================================

None of these imports torch or MPI.
"""
