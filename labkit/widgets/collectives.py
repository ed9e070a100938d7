"""Collectives to play with: an algorithm round by round; times of several are in :mod:`.collective_times`."""

from __future__ import annotations

import html

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.mpi.collectives.registry import OPERATIONS, family, find
from labkit.mpi.collectives.rounds import MAX_RANKS, collective_rounds
from labkit.views.collectives import collective_round_figure, round_layout, round_traces
from labkit.widgets.collective_times import CollectiveTimes
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

__all__ = ["CollectiveExplorer", "CollectiveTimes"]
STYLE = {"description_width": "initial"}


class CollectiveExplorer(widgets.VBox):
    """Step through the rounds of a collective algorithm: what every rank holds, and who sends to whom.

    Parameters
    ----------
    name : str
        The algorithm to begin with.
    num_ranks : int
        2 to 32.

    Attributes
    ----------
    operation, algorithm : ipywidgets.Dropdown
    num_ranks, step : ipywidgets.IntSlider
    play : ipywidgets.Play
    sentence : ipywidgets.HTML
        The idea of the algorithm, and its counts.
    figure : FigureWidget
    rounds : CollectiveRounds
        What is shown.

    Examples
    --------
    >>> explorer = CollectiveExplorer("broadcast_binomial", num_ranks=4)
    >>> explorer.step.value = 2
    >>> explorer.figure.layout.title.text
    '<b>broadcast_binomial</b>, 4 ranks: round 2 of 2, 2 messages of 4 chunks'
    """

    def __init__(self, name: str = "allreduce_ring", num_ranks: int = 8):
        operation = find(name).operation
        if not 2 <= num_ranks <= MAX_RANKS:
            raise UsageError(f"num_ranks = {num_ranks}: rounds are shown for 2 to {MAX_RANKS} ranks; choose one of these.")
        self.operation = widgets.Dropdown(options=OPERATIONS, value=operation, description="operation", style=STYLE)
        self.algorithm = widgets.Dropdown(options=_with_messages(operation), value=name, description="algorithm", style=STYLE)
        self.num_ranks = widgets.IntSlider(
            value=num_ranks, min=2, max=MAX_RANKS, description="ranks", continuous_update=False, style=STYLE
        )
        self.rounds = collective_rounds(name, num_ranks)
        last = self.rounds.num_rounds
        self.play = widgets.Play(min=0, max=last, interval=800, show_repeat=False)
        self.step = widgets.IntSlider(min=0, max=last, description="round", style=STYLE, layout={"width": "420px"})
        self.sentence = widgets.HTML(self._words())
        self.figure = FigureWidget(collective_round_figure(self.rounds, 0))
        self._changing = False
        widgets.jslink((self.play, "value"), (self.step, "value"))  # plays on even if the kernel is busy
        self.operation.observe(self._on_operation, "value")
        self.algorithm.observe(self._on_choice, "value")
        self.num_ranks.observe(self._on_choice, "value")
        self.step.observe(self._on_step, "value")
        choice = widgets.HBox([self.operation, self.algorithm, self.num_ranks])
        super().__init__([choice, widgets.HBox([self.play, self.step]), self.sentence, self.figure])

    def _words(self) -> str:
        rounds = self.rounds
        per_node = dict(rounds.cost_options).get("ranks_per_node")
        nodes = f", {per_node} ranks a node" if per_node else ""
        return (
            f"<b>{html.escape(find(rounds.name).summary)}</b><br>"
            f"{_counted(rounds.num_rounds, 'round')}, {_counted(rounds.num_messages, 'message')} on {rounds.num_ranks} ranks{nodes}."
        )

    def _on_operation(self, change) -> None:
        self._changing = True
        self.algorithm.options = _with_messages(change["new"])
        self._changing = False
        self._on_choice(None)

    def _on_choice(self, change) -> None:
        """Another algorithm, or another number of ranks."""
        if self._changing:
            return
        self.rounds = collective_rounds(self.algorithm.value, self.num_ranks.value)
        self._changing = True
        self.play.playing = False
        self.step.value = self.play.value = 0
        self.step.max = self.play.max = self.rounds.num_rounds
        self._changing = False
        self.sentence.value = self._words()
        replace_figure(self.figure, collective_round_figure(self.rounds, 0))

    def _on_step(self, change) -> None:
        if self._changing:
            return
        layout = round_layout(self.rounds, change["new"])
        grid, frames, arrows, nodes = round_traces(self.rounds, layout)
        with self.figure.batch_update():
            shown = self.figure.data
            shown[0].z, shown[0].text, shown[0].hovertext = grid.z, grid.text, grid.hovertext
            shown[1].x, shown[1].y = frames.x, frames.y
            shown[2].x, shown[2].y, shown[2].hovertext = arrows.x, arrows.y, arrows.hovertext
            shown[2].marker.size = arrows.marker.size
            shown[3].marker.color, shown[3].hovertext = nodes.marker.color, nodes.hovertext
            self.figure.layout.title.text = layout.title


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _with_messages(operation: str) -> list[str]:
    return [algorithm.name for algorithm in family(operation) if not algorithm.needs_shared_memory]
