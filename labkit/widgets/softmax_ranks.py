"""Vocabulary-parallel cross-entropy to step through: what ranks have, and the messages of three small all-reduces."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.mpi.collectives.registry import family
from labkit.softmax.vocabulary_story import MOST_RANKS, vocabulary_story
from labkit.views.theme import bytes_text
from labkit.views.vocabulary import EXPLANATIONS, NUM_STEPS, vocabulary_figure
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "initial"}
NUM_COLUMNS, NUM_ROWS = 32, 8
REAL_COLUMNS = 131_072  # of a language model
ALGORITHMS = tuple(a.name for a in family("allreduce") if not a.needs_shared_memory)


class VocabularyExplorer(widgets.VBox):
    """Choose ranks and an all-reduce: step through the loss of logits whose columns are spread over ranks.

    Parameters
    ----------
    num_ranks : int
        1 to 16.
    algorithm : str
        An all-reduce that sends messages.

    Attributes
    ----------
    num_ranks, row, step : ipywidgets.IntSlider
    algorithm : ipywidgets.Dropdown
    play : ipywidgets.Play
    controls : dict
        These by name.
    sentence : ipywidgets.HTML
        What happens in this step, and the traffic.
    figure : FigureWidget
    story : VocabularyStory
        What is shown.

    Raises
    ------
    UsageError
        Another number of ranks, or another algorithm.

    Examples
    --------
    >>> explorer = VocabularyExplorer(4)
    >>> explorer.step.value = 2
    >>> explorer.figure.layout.title.text
    '<b>4 ranks</b>: all-reduce 1 of 3, MAX of maxima: 8 messages, 512 B'
    """

    def __init__(self, num_ranks: int = 4, *, algorithm: str = "allreduce_recursive_doubling"):
        if isinstance(num_ranks, bool) or num_ranks not in range(1, MOST_RANKS + 1):
            raise UsageError(
                f"VocabularyExplorer: num_ranks is 1 to {MOST_RANKS}, not {num_ranks!r}: pass one of them."
            )
        if algorithm not in ALGORITHMS:
            raise UsageError(
                f"VocabularyExplorer: algorithm is one of {', '.join(ALGORITHMS)}, not {algorithm!r}: pass one of them."
            )
        self.num_ranks = widgets.IntSlider(
            value=int(num_ranks), min=1, max=MOST_RANKS, description="ranks", style=STYLE, continuous_update=False
        )
        self.algorithm = widgets.Dropdown(options=ALGORITHMS, value=algorithm, description="all-reduce", style=STYLE)
        self.row = widgets.IntSlider(value=0, min=0, max=NUM_ROWS - 1, description="row of the logits", style=STYLE)
        self.play = widgets.Play(value=0, min=0, max=NUM_STEPS - 1, interval=2000)
        self.step = widgets.IntSlider(value=0, min=0, max=NUM_STEPS - 1, description="step", style=STYLE)
        widgets.jslink((self.play, "value"), (self.step, "value"))
        self.controls = {
            "num_ranks": self.num_ranks, "algorithm": self.algorithm, "row": self.row, "step": self.step,
            "play": self.play,
        }
        self.story = self._tell()
        self.sentence = widgets.HTML(self._words())
        self.figure = FigureWidget(vocabulary_figure(self.story, 0))
        for control in (self.num_ranks, self.algorithm):
            control.observe(self._on_other, "value")
        for control in (self.row, self.step):
            control.observe(self._on_step, "value")
        super().__init__([
            widgets.HBox([self.num_ranks, self.algorithm, self.row], layout=widgets.Layout(flex_flow="row wrap")),
            widgets.HBox([self.play, self.step]), self.sentence, self.figure,
        ])  # fmt: skip

    def _tell(self):
        return vocabulary_story(
            self.num_ranks.value, num_rows=NUM_ROWS, num_columns=NUM_COLUMNS, algorithm=self.algorithm.value
        )

    def _words(self) -> str:
        story = self.story
        return (
            f"<b>{EXPLANATIONS[self.step.value]}</b><br>All three together, for {NUM_ROWS} rows: {story.num_messages} "
            f"messages, {bytes_text(story.num_bytes)}, however many classes there are. With {REAL_COLUMNS:,} classes, "
            f"to bring all logits to all ranks would be {bytes_text(story.gathering_bytes(REAL_COLUMNS))}."
        )

    def _on_other(self, change) -> None:
        self.play.playing = False
        self.story = self._tell()
        self._on_step(change)

    def _on_step(self, change) -> None:
        self.sentence.value = self._words()
        replace_figure(self.figure, vocabulary_figure(self.story, self.step.value, row=self.row.value))
