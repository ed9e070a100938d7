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

None of these imports torch or MPI. Those that run plans on ranks:

=================  ===========================================================================================
file               what it has
=================  ===========================================================================================
stages.py          a model cut into stages (layers.py traces it, stage_names.py checks names); parameters they share
split_backward.py  B and W apart for real modules
random_streams.py  dropout that does not depend on who computes what when
held.py            what is kept of a micro-batch between forward and backward, and its bytes
transport.py       messages that never wait to be sent, and notices of failures
exchange.py        which value goes where
execute.py         one rank's part of a plan, with tensors (compute.py: the forward; sliced.py: slices of tokens)
given.py           a plan, or the name of a schedule
strategy.py        ``train_pipeline(comm, model, data, options, plan="zb-h1")``; the strategy "pipeline"
preparing.py       its plan, stages and owners before the first step
forward.py         evaluation through the stages
state.py           the model and the optimizer's state put together from all ranks
measured.py        a run as it was measured, beside its simulation
on_ranks.py        real ranks started from a notebook's process (on_ranks_program.py runs on them)
bugs.py            known slips, which the equivalence test finds
=================  ===========================================================================================
"""
