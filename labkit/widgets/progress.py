"""Progress of something long, in one line that is replaced."""

from __future__ import annotations

from IPython.display import display


class Progress:
    """One line that is replaced while something long goes on."""

    def __init__(self):
        self.handle = None
        self.text = ""

    def __call__(self, text: str) -> None:
        bundle = {"text/plain": text}
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        elif text != self.text:
            self.handle.update(bundle, raw=True)
        self.text = text
