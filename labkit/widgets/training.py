"""One table of strategies with a button: choose, train on real ranks, and see what each costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.views.theme import bytes_text, time_text
from labkit.views.training import compare_figure, losses_figure
from labkit.widgets.experiment import Experiment

STYLE = {"description_width": "initial"}
WIDE = {"width": "440px"}
MOST_RANKS = 4
FIRST_CHOICE = ("flat", "bucketed", "overlapped", "zero_3")


class StrategyComparison(Experiment):
    """Choose model, strategies, ranks and steps: they are trained on real ranks of this machine, one after the other.

    Parameters
    ----------
    model : str
        One of :data:`labkit.training.compare_ranks.MODELS`.
    num_ranks : int
        1 to 4.
    strategies : sequence of str
        Those that are chosen at first.
    num_steps : int
        5 to 100.
    run : callable, optional
        ``run(num_ranks, model, strategies=..., num_steps=..., progress=...)`` gives the table; by default
        :func:`labkit.training.compare_ranks.compare_on_ranks`.

    Attributes
    ----------
    model : ipywidgets.Dropdown
    strategies : ipywidgets.SelectMultiple
    num_ranks, num_steps : ipywidgets.IntSlider
    value : StrategyTable
        Of the last run. ``print(widget.value)`` has all numbers.
    """

    def __init__(
        self, model: str = "mlp, MNIST", num_ranks: int = 2, *, strategies: Sequence[str] = FIRST_CHOICE,
        num_steps: int = 20, run: Callable | None = None,
    ):
        from labkit.training.compare import ALL, check_strategies
        from labkit.training.compare_ranks import MODELS, compare_on_ranks

        check_strategies(tuple(strategies))
        if model not in MODELS or num_ranks not in range(1, MOST_RANKS + 1) or num_steps not in range(5, 101):
            raise UsageError(
                f"StrategyComparison takes one of {'; '.join(MODELS)}, 1 to {MOST_RANKS} ranks and 5 to 100 steps, not "
                f"{model!r}, {num_ranks!r} and {num_steps!r}."
            )
        self._run_table = run or compare_on_ranks
        self.model = widgets.Dropdown(options=list(MODELS), value=model, description="model", style=STYLE, layout=WIDE)
        self.num_ranks = widgets.IntSlider(
            value=num_ranks, min=1, max=MOST_RANKS, description="ranks", style=STYLE, layout=WIDE
        )
        self.num_steps = widgets.IntSlider(
            value=num_steps, min=5, max=100, step=5, description="steps", style=STYLE, layout=WIDE
        )
        self.strategies = widgets.SelectMultiple(
            options=ALL, value=tuple(strategies), rows=len(ALL), description="strategies", style=STYLE,
            layout={"width": "280px"},
        )
        choices = [self.model, self.num_ranks, self.num_steps, self.strategies]
        super().__init__([], self._train, self._figures, words=_words, label="Train", locked=choices)
        hint = widgets.HTML("Several strategies: hold Ctrl or Shift and click.")
        left = widgets.VBox([self.model, self.num_ranks, self.num_steps, hint])
        self.children = [widgets.HBox([left, self.strategies], layout={"flex_flow": "row wrap"}), *self.children]

    def _train(self, progress):
        return self._run_table(
            self.num_ranks.value, self.model.value, strategies=self.strategies.value, num_steps=self.num_steps.value,
            progress=progress,
        )

    def _figures(self, table):
        ranks = f"{table.num_ranks} rank{'s' * (table.num_ranks != 1)}"
        title = f"<b>{self.model.value}</b> on {ranks}, {table.options.num_steps} steps of {table.options.batch_size} samples"
        runs = {row.name: row for row in table.rows if row.losses}
        return [compare_figure(table, title=title), losses_figure(runs)]


def _words(table) -> str:
    """Who is fastest, sends least and holds least; who was left out, and why."""
    rows = [row for row in table.rows[1:] if not row.left_out]
    parts = []
    timed = [row for row in rows if row.step_s]
    if timed:
        best = min(timed, key=lambda row: row.step_s)
        alone = table.rows[0].step_s
        beside = f" (one process: {time_text(1e9 * alone)})" if alone else ""
        parts.append(f"The fastest step: {best.name}, {time_text(1e9 * best.step_s)}{beside}.")
    if rows:
        most = {row.name: max(row.sent_bytes, default=0) / table.options.num_steps for row in rows}
        name = min(most, key=most.get)
        parts.append(f"The fewest bytes a step: {name}, {bytes_text(most[name])}.")
        held = {row.name: max(row.tensors_bytes, default=0) for row in rows}
        name = min(held, key=held.get)
        parts.append(f"The least memory: {name}, {bytes_text(held[name])} of tensors.")
    parts += [f"Left out: {row.name}: {row.left_out}" for row in table.rows if row.left_out]
    return " ".join(parts)
