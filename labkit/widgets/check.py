"""``check("collectives/allreduce_ring", allreduce_ring)``: judge an answer in the notebook, and help to mend it.

The answer is taken from the cells of the session as ``labkit grade`` takes it from a file, and run in processes of its
own. The result is a widget where there are widgets, else text; it is shown once, whether the call is the last line of
its cell or not.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

from labkit.errors import CellInterruptedError, NotAvailableError, UsageError
from labkit.grading.answers import Answer, attempt, cells_of_session
from labkit.grading.exercise import Exercise, exercise_names, load_exercise
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.progress import record_exercise
from labkit.widgets.check_screen import screen_for

MAX_LINES = 6
_hints_shown: dict[str, int] = {}  # by exercise, in this session


class Words(str):
    """A text that is shown as it is, not as a quoted string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Check:
    """What came of a check.

    Attributes
    ----------
    exercise : Exercise
    verdict : labkit.grading.outcomes.Verdict or None
        None while it runs, and if it could not be run.
    problem : str
        Why there is no verdict, or why progress could not be kept; "" if all is well.
    source : str
        The answer as it was judged; "" if there is none.
    num_done, num_cases : int
        Cases so far; ``num_cases`` is 0 until it is known.
    """

    def __init__(self, exercise: Exercise, call: str = ""):
        self.exercise, self.call = exercise, call or f'check("{exercise.name}")'
        self.verdict: Verdict | None = None
        self.problem = self.source = ""
        self.running, self.num_done, self.num_cases = True, 0, 0
        self.screen = None  # see labkit.widgets.check_screen.screen_for

    @property
    def num_hints_shown(self) -> int:
        """Hints that were asked for in this session, in this check or an earlier one."""
        return _hints_shown.get(self.exercise.name, 0)

    def hint(self) -> Words:
        """The next of the three hints, ``"Hint 1 of 3: ..."``; after the last one, the last one again."""
        number = min(self.num_hints_shown + 1, len(self.exercise.hints))
        _hints_shown[self.exercise.name] = number
        if self.screen is not None:
            self.screen.refresh()
        return Words(f"Hint {number} of {len(self.exercise.hints)}: {self.exercise.hints[number - 1]}")

    def named_lines(self) -> list[tuple[int, str]]:
        """Lines of the answer that the verdict names by their numbers alone: (number, text)."""
        if self.verdict is None or not self.source:
            return []
        lines = self.source.splitlines()
        numbers = dict.fromkeys(map(int, re.findall(r"\bline (\d+)", f"{self.verdict.message}\n{self.verdict.details}")))
        found = [(number, lines[number - 1].strip()) for number in numbers if 0 < number <= len(lines)]
        return [(number, text) for number, text in found if text and text not in self.verdict.details][:MAX_LINES]

    def text(self) -> str:
        """All of it, for a terminal and for notebooks without widgets."""
        if self.verdict is None:
            return f"{self.progress_text()}\n{self.problem}".strip()
        lines = [self.verdict.text()]
        lines += [f"line {number} is: {text}" for number, text in self.named_lines()]
        if self.verdict.sandbox:
            lines.append(f"The answer was confined by {self.verdict.sandbox}.")
        if not self.verdict.passed and self.num_hints_shown < len(self.exercise.hints):
            lines.append(f"For a hint: {self.call}.hint()")
        return "\n".join(lines + [self.problem] * bool(self.problem))

    def progress_text(self) -> str:
        """How far it is, in one line."""
        if not self.running:
            return f"NOT CHECKED  {self.exercise.name}"
        if not self.num_cases:
            return f"checking {self.exercise.name} ..."
        return f"checking {self.exercise.name}: case {min(self.num_done + 1, self.num_cases)} of {self.num_cases} ..."

    def __repr__(self) -> str:
        if self.verdict is None:
            return f"<check of {self.exercise.name}: {'running' if self.running else 'not checked'}>"
        found = self.verdict
        return f"<check of {self.exercise.name}: {found.status}, {found.points:g} of {found.max_points:g} points>"

    def _ipython_display_(self) -> None:
        if self.screen is None:  # not shown yet: IPython shows the repr
            raise NotImplementedError
        self.screen.show_again()


def check(exercise: str, function: Callable | None = None) -> Check:
    """Check an answer to an exercise, and show what came of it.

    Parameters
    ----------
    exercise : str
        ``"topic/name"``.
    function : callable, optional
        The answer; default: the function of the session that has the name which the exercise asks for.

    Returns
    -------
    Check
        With the attribute ``verdict`` and the method ``hint()``.

    Raises
    ------
    UsageError
        There is no such exercise, or ``function`` is not what it asks for.
    CellInterruptedError
        It was stopped; the processes of the answer have been ended.

    Notes
    -----
    In a notebook, under the cell that defines the function::

        check("point_to_point/ring_pass", ring_pass)
        check("point_to_point/ring_pass").hint()
    """
    found = _find(exercise, function)
    session = _session_names()
    if function is None:
        function = session.get(found.function)
    else:
        _look_at_function(found, function, session)
    result = Check(found, f'check("{found.name}", {found.function})')
    with _silent():
        answer = attempt(cells_of_session(function if callable(function) else None), found)
    result.source = answer.source or ""
    _run(result, answer)
    return result


def _run(result: Check, answer: Answer) -> None:
    """Judge the answer while the screen follows."""
    screen = result.screen = screen_for(result)

    def progress(_, num_cases: int) -> None:
        result.num_done, result.num_cases = result.num_done + 1, num_cases
        screen.refresh()

    try:
        screen.begin()
        with _silent():
            result.verdict = _judged(result.exercise, answer, progress)
    except NotAvailableError as error:
        result.problem = f"The answer could not be run: {error}"
    except KeyboardInterrupt:
        result.running = False
        done = f" after {result.num_done} of {result.num_cases} cases" if result.num_cases else ""
        result.problem = f"It was stopped{done}."
        screen.end()
        raise CellInterruptedError(f"the check of {result.exercise.name} was stopped{done}; its processes have been ended.") from None
    except BaseException as error:
        result.running, result.problem = False, f"The check itself failed with {type(error).__name__}; the error is below."
        screen.end()
        raise
    result.running = False
    if result.verdict is not None and result.verdict.status is not Status.NOT_ATTEMPTED:
        result.problem = record_exercise(result.verdict)
    screen.end()


def _judged(exercise: Exercise, answer: Answer, progress: Callable[[int, int], None]) -> Verdict:
    from labkit.grading.judge import judge
    from labkit.grading.remote.kept import kept_zygote

    if answer.source is None:  # nothing is run
        verdict = judge(exercise, None)
        return replace(verdict, message=f"there is no answer yet: {answer.problem} Write it, then check again.")
    with kept_zygote() as zygote:
        return judge(exercise, answer.source, zygote=zygote, progress=progress)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """No warnings: an answer's odd numbers and strings would put them on stderr, where nbgrader takes them for a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- the arguments ----------------------------------------------------------------------------------


def _find(name, function) -> Exercise:
    if not isinstance(name, str):
        order = ' They are the other way round.' if isinstance(function, str) else ""
        raise UsageError(
            f'check takes the name of the exercise first, then the function: check("topic/name", function), '
            f"but the first argument is {_described(name)}.{order}"
        )
    try:
        return load_exercise(name.strip())
    except UsageError as error:
        names = [] if "folder of exercises" in str(error) else exercise_names()
        short = {one.split("/")[1]: one for one in names}
        last = name.strip().split("/")[-1]
        near = [short[one] for one in difflib.get_close_matches(last, short, n=1)]
        if not near:
            raise
        raise UsageError(f"{error} Did you mean {near[0]!r}?") from None


def _look_at_function(exercise: Exercise, function, session: dict) -> None:
    """Whether it is the function that the exercise asks for."""
    wanted = exercise.function
    if not callable(function):
        raise UsageError(
            f'the second argument is the function itself, without a call and quotes: check("{exercise.name}", {wanted}), '
            f"not {_described(function)}."
        )
    given = getattr(function, "__name__", None)
    if session.get(wanted) is function:
        return
    if given != wanted:
        raise UsageError(
            f"the exercise {exercise.name} asks for a function named {wanted}, not {given or _described(function)}: "
            f'write def {wanted}(...), run that cell, then check("{exercise.name}", {wanted}).'
        )
    if getattr(function, "__module__", None) == "__main__" and wanted in session:
        raise UsageError(
            f"{wanted} has been given another value since this function was defined, and the last one counts: "
            f'check("{exercise.name}", {wanted}).'
        )


def _session_names() -> dict:
    """The global names of the notebook, or of the program."""
    shell = ipython_shell()
    return shell.user_ns if shell is not None else vars(sys.modules["__main__"])


def ipython_shell():
    """The running IPython, or None."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _described(value) -> str:
    kind = type(value).__name__
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if callable(value):
        return f"the function {getattr(value, '__name__', kind)}"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
