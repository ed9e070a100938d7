"""Where a check is shown: a widget on the page of a notebook, lines in a terminal."""

from __future__ import annotations

import html
import sys
import textwrap
from typing import TYPE_CHECKING

from labkit.grading.outcomes import Status, Verdict
from labkit.widgets.markup import FENCE, to_html
from labkit.widgets.study import StudyWidget

if TYPE_CHECKING:
    from labkit.widgets.check import Check

TONES = {Status.PASSED: "right", Status.OVER_BUDGET: "open", Status.NOT_ATTEMPTED: "none"}  # all others: wrong
UNFOLDED = (Status.DEADLOCKED, Status.TIMED_OUT, Status.OVER_BUDGET)  # here the timeline tells more than the message


class CheckWidget(StudyWidget):
    """A check on the page. Hints come one after the other, the timeline when the page asks for it.

    Parameters
    ----------
    check : Check

    Attributes
    ----------
    figure : TimelineWidget or None
        Of the case that failed; made when it is first looked at.
    """

    def __init__(self, check: Check):
        self.check, self.figure = check, None
        super().__init__(self._state())

    def refresh(self) -> None:
        """Let the page show what is known now."""
        self.state = self._state()

    def react(self, message: dict) -> None:
        """``{"do": "hint"}`` or ``{"do": "timeline"}``."""
        verdict = self.check.verdict
        if message.get("do") == "hint":
            if self.check.num_hints_shown < len(self.check.exercise.hints):  # not one that was clicked twice
                self.check.hint()
                self.refresh()
        elif message.get("do") == "timeline" and self.figure is None and verdict is not None and verdict.timeline:
            self.figure = timeline_widget(verdict.timeline)
            self.refresh()

    def text(self) -> str:
        """As in a terminal."""
        return self.check.text()

    def _state(self) -> dict:
        check, exercise = self.check, self.check.exercise
        state = {
            "kind": "check", "title": exercise.title, "name": exercise.name, "running": check.running,
            "done": check.num_done, "cases": check.num_cases, "problem": check.problem, "verdict": None,
            "hints": [hint_html(text) for text in exercise.hints[: check.num_hints_shown]],
            "numHints": len(exercise.hints), "figure": self.figure.model_id if self.figure is not None else "",
        }
        if check.verdict is not None:
            state["verdict"] = _shown(check.verdict) | {"lines": check.named_lines()}
        return state


def _shown(verdict: Verdict) -> dict:
    """What the page shows of a verdict: plain text, but for the slip."""
    where = "" if verdict.rank is None else f"rank {verdict.rank}"
    is_prose = verdict.status is Status.DEADLOCKED  # sentences of who waits for whom; else lines of code
    rows = [["expected", verdict.expected], ["actual", verdict.actual]] if verdict.expected or verdict.actual else []
    return {
        "status": str(verdict.status), "tone": TONES.get(verdict.status, "wrong"),
        "points": verdict.points, "maxPoints": verdict.max_points, "message": sentence(verdict.message),
        "case": "" if verdict.status is Status.NOT_ATTEMPTED else verdict.case, "where": where, "rows": rows,
        "details": verdict.details.replace("; rank", ";\nrank") if is_prose else textwrap.dedent(verdict.details),
        "isProse": is_prose, "slip": to_html(sentence(verdict.slip)) if verdict.slip else "",
        "cost": sentence(verdict.cost.removeprefix("cost of the case ")), "numPassed": verdict.num_passed, "numCases": verdict.num_cases,
        "sandbox": verdict.sandbox, "seconds": verdict.seconds,
        "timeline": "" if verdict.timeline is None else "open" if verdict.status in UNFOLDED else "folded",
    }


def sentence(text: str) -> str:
    """A message as a sentence: a capital and a full stop, but names of code stay as they are.

    Examples
    --------
    >>> sentence("deadlock: every rank waits"), sentence("ring_pass is missing")
    ('Deadlock: every rank waits.', 'ring_pass is missing.')
    """
    first = text.split(" ")[0].rstrip(":,")
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?:" else f"{text}."


def hint_html(text: str) -> str:
    """A hint for the page; one of several lines without a fence is code."""
    if "\n" in text.strip() and FENCE not in text and "\n\n" not in text:
        return f"<pre><code>{html.escape(text.strip(), quote=False)}</code></pre>"
    return to_html(text)


def timeline_widget(trace: dict):
    """The widget of a timeline that travelled as a Chrome trace."""
    from labkit.trace.chrome import from_chrome_trace
    from labkit.widgets.timeline import TimelineWidget

    return TimelineWidget(from_chrome_trace(trace, "the timeline of the check"))


# -- screens ----------------------------------------------------------------------------------------


class NotebookScreen:
    """A widget in the output of the cell; its text is brought up to date at the end, for those who see that alone."""

    def __init__(self, check: Check, shell):
        self.widget, self.shell = CheckWidget(check), shell
        self.cell = shell.execution_count
        self.handle = None
        self.was_returned = False

    def begin(self) -> None:
        from IPython.display import display

        self.handle = display(self.widget, display_id=True)

    def refresh(self) -> None:
        self.widget.refresh()

    def end(self) -> None:
        self.widget.refresh()
        if self.handle is not None:
            self.handle.update(self.widget)

    def show_again(self) -> None:
        """For the value of an expression; not in the cell that shows it already."""
        from IPython.display import display

        if self.shell.execution_count == self.cell and not self.was_returned:
            self.was_returned = True
        else:
            display(self.widget)


class TextScreen:
    """Lines; progress in one that is overwritten, if there is a terminal."""

    def __init__(self, check: Check):
        self.check = check
        self.width = 0

    def begin(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        if self.check.running and sys.stdout.isatty():
            self._overwrite(self.check.progress_text())

    def end(self) -> None:
        if self.width:
            self._overwrite("")
        print(self.check.text())

    def show_again(self) -> None:
        """The short form: the text has been printed."""
        raise NotImplementedError("IPython shows the repr")

    def _overwrite(self, text: str) -> None:
        sys.stdout.write("\r" + text.ljust(self.width) + ("" if text else "\r"))
        sys.stdout.flush()
        self.width = len(text)


def screen_for(check: Check) -> NotebookScreen | TextScreen:
    """Where a check of this session is shown."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is not None:
        return NotebookScreen(check, shell)
    return TextScreen(check)
