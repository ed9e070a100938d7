"""Pipelines: a model cut into stages, and the micro-batches that pass through them.

=================  ===========================================================================================
file               what it has
=================  ===========================================================================================
actions.py         what a stage does with a micro-batch: F, B, W, BW; its text form
plan.py            a schedule as a value: the order of actions of each rank; its text form
dependencies.py    what an action needs
rules.py           the rules of a plan, and which action breaks one first
schedules.py       all schedules by name: ``make_plan("1f1b", 4, 8)``
gpipe.py           all forwards, then all backwards
one_f_one_b.py     backwards as early as they can
interleaved.py     several stages a rank
zero_bubble.py     ZB-H1 and ZB-H2: W apart from B, and later
search.py          a zero-bubble schedule for given times and memory: greedy.py tries policies, improve.py moves actions
token_slices.py    TeraPipe: slices of a sequence, and how long they should be
simulate.py        when each action runs, with given times; the bubble
memory.py          what each rank holds of activations over time
timeline.py        the simulation in the form of a measured run
formulas.py        the bubbles of the textbooks
published.py       the Zero Bubble paper's rates beside ours
checks.py          arguments, checked
=================  ===========================================================================================

None of these imports torch or MPI.
"""
