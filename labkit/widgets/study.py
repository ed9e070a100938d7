"""What quiz, flashcards, summary and check have in common: one script and style sheet, and text where there is no page."""

from __future__ import annotations

from pathlib import Path

from labkit.views.theme import KIND_COLOURS, SERIES
from labkit.widgets.heard import INITIALIZE, HeardWidget

FOLDER = Path(__file__).parent
COLOURS = {
    "accent": SERIES[0], "right": KIND_COLOURS["recv"], "wrong": KIND_COLOURS["window"], "open": KIND_COLOURS["wait"],
}


def style_sheet() -> str:
    """The style sheet, with the colours of the figures."""
    colours = " ".join(f"--labkit-{name}: {colour};" for name, colour in COLOURS.items())
    return f".labkit-study {{ {colours} }}\n" + together("study.css", "check.css")


def together(*names: str) -> str:
    """The texts of files of this folder, one after the other."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


class StudyWidget(HeardWidget):
    """A page element that shows ``state`` and sends what somebody does back as messages.

    ``state["kind"]`` chooses what study.js draws. All judging is done here, in Python.
    """

    _esm = INITIALIZE + together("study.js", "check.js")
    _css = style_sheet()

    def __init__(self, state: dict):
        super().__init__(state=state)
        self.on_msg(self._on_message)

    def _on_message(self, widget, content, buffers) -> None:
        if isinstance(content, dict):
            self.react(content)

    def react(self, message: dict) -> None:
        """Do what somebody did on the page."""
        raise NotImplementedError(f"{type(self).__name__} takes no messages: {message}.")

    def text(self) -> str:
        """The same as text."""
        raise NotImplementedError(f"{type(self).__name__} has no text.")

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **kwargs):
        found = super()._repr_mimebundle_(**kwargs)
        data = found[0] if isinstance(found, tuple) else found
        data["text/plain"] = self.text()  # whole: elsewhere it is all there is
        return found
