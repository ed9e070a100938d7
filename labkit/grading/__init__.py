"""Judgement: graded exercises, how an answer is run, what came of it, and score sheets.

An exercise is a folder, ``exercises/<topic>/<name>/``::

    statement.md   what to do; the student reads it
    starter.py     what the student begins with
    exercise.py    ``exercise = Exercise(...)``: cases, points, budgets, limits, hints, slips
    hidden.py      optional, instructor only: ``cases()``, more cases
    reference.py   instructor only: an answer that passes
    wrong/*.py     instructor only: answers that must fail, each named after its slip

======================  =====================================================================
``outcomes.py``         ``Status`` and ``Verdict``: what came of an answer, as values
``exercise.py``         ``Exercise``, ``Case``, ``Budget``, ``Slip``, and loading a folder
``answers.py``          the source of an answer, from a notebook's cells or a file
``judge.py``            ``judge(exercise, source)`` returns a ``Verdict``
``case_outcomes.py``    what came of one case, in a sentence
``threads.py``          cases for a team of threads: races, deadlocks, costs
``compare.py``          a value against the expected one
``confinement/``        what a process that runs an answer may do
``remote/``             ranks in processes of their own, on the simulator of this process
``cells.py, code.py``   code cells of a file or a session; what their statements define and need
``notebooks.py``        the notebook of a topic, built from its folders
``submissions.py``      whose a file is, and which topic it answers
``workers.py``          processes that judge side by side
``journal.py``          what has been judged, so that a run goes on
``grade.py``            a class becomes rows; ``command.py`` is ``labkit grade``
``sheet.py, report.py`` rows and totals as CSV, JSON and pages
``release.py``          the students' tree
``nbgrader/``           the same exercises as a course of nbgrader
======================  =====================================================================

The answer never runs in the process that judges it, and that process never runs code or unpickles
data that came from the answer. The simulated network is on the judge's side: what was sent is
counted where the answer cannot reach it, and each rank knows its own arguments only.
"""
