"""An nbgrader course with the same exercises and the same judge.

nbgrader runs a submission in one kernel, answers and tests together. Here its test cells hold one call,
``score("topic/name")``, which takes the answer's text from the cells that were run and hands it to a process of its
own; what the answer does to the kernel does not reach the judge. (What a submission does to nbgrader itself, in that
kernel, is nbgrader's affair: ``labkit grade`` runs nothing of a notebook but answers.)

``score.py`` is that call, ``course.py`` writes the course.
"""

from labkit.grading.nbgrader.score import score

__all__ = ["score"]
