"""A graph of tasks: left to right who waits for whom, a column of tasks that can run at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.views.theme import GRID, INK, SERIES, base_layout

MOST_TASKS = 2_000
MOST_LABELLED = 60
ROW_HEIGHT = 46  # px of a task in the tallest column


@dataclass(frozen=True, slots=True)
class TaskGraphLayout:
    """What is drawn.

    Attributes
    ----------
    xs, ys : tuple of float
        By task: its level (the longest chain of tasks before it), and its place in the column, the middle at 0.
    edges : tuple of (int, int)
        (earlier, later); those that follow from others are left out.
    widest : int
        Tasks in the largest column.
    length : int
        Tasks on the longest chain.
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    edges: tuple[tuple[int, int], ...]
    widest: int
    length: int


def task_graph_layout(num_tasks: int, edges: Sequence[tuple[int, int]]) -> TaskGraphLayout:
    """Places of tasks 0 to ``num_tasks - 1``; an edge goes from a task to a later one that waits for it.

    Raises
    ------
    UsageError
        An edge that does not go to a later task, or more than 2000 tasks.
    """
    if num_tasks > MOST_TASKS:
        raise UsageError(
            f"task graph: {num_tasks} tasks are too many to draw, at most {MOST_TASKS}: draw a smaller one."
        )
    before: list[set[int]] = [set() for _ in range(num_tasks)]
    for earlier, later in edges:
        if not 0 <= earlier < later < num_tasks:
            raise UsageError(
                f"task graph: an edge goes from a task to a later one, 0 to {num_tasks - 1}, not {(earlier, later)}: "
                "number the tasks in an order in which one thread can run them."
            )
        before[later].add(earlier)
    level = [0] * num_tasks
    all_before: list[set[int]] = []
    kept = []
    for task in range(num_tasks):
        level[task] = 1 + max((level[other] for other in before[task]), default=-1)
        far = set().union(*(all_before[other] for other in before[task]))
        kept += [(other, task) for other in sorted(before[task]) if other not in far]
        all_before.append(before[task] | far)
    columns: dict[int, list[int]] = {}
    for task in range(num_tasks):
        columns.setdefault(level[task], []).append(task)
    ys = [0.0] * num_tasks
    for tasks in columns.values():
        for place, task in enumerate(tasks):
            ys[task] = (len(tasks) - 1) / 2 - place
    widest = max((len(tasks) for tasks in columns.values()), default=0)
    return TaskGraphLayout(tuple(map(float, level)), tuple(ys), tuple(kept), widest, len(columns))


def task_graph_figure(
    names: Sequence[str], kinds: Sequence[str], edges: Sequence[tuple[int, int]], *, title: str = ""
) -> go.Figure:
    """Tasks as points with their names, coloured by kind; lines lead to the tasks that wait for them.

    Parameters
    ----------
    names, kinds : sequences of str
        By task.
    edges : sequence of (int, int)
        (earlier, later).
    title : str
        By default: how many tasks, the longest chain, and what speed-up that allows.

    Raises
    ------
    UsageError
        As :func:`task_graph_layout`, or names and kinds of different lengths.
    """
    if len(names) != len(kinds):
        raise UsageError(f"task graph: {len(names)} names and {len(kinds)} kinds: give one of each for every task.")
    layout = task_graph_layout(len(names), edges)
    if not title and names:
        title = (
            f"{len(names)} tasks, the longest chain has {layout.length}: with any number of threads at most "
            f"{len(names) / layout.length:.3g} times as fast"
        )
    figure = go.Figure(layout=base_layout(title, 110 + ROW_HEIGHT * max(min(layout.widest, 12), 2)))
    xs, ys = [], []
    for earlier, later in layout.edges:
        xs += [layout.xs[earlier], layout.xs[later], None]
        ys += [layout.ys[earlier], layout.ys[later], None]
    figure.add_trace(
        go.Scatter(x=xs, y=ys, mode="lines", line={"color": GRID, "width": 1.5}, hoverinfo="skip", showlegend=False)
    )
    is_labelled = len(names) <= MOST_LABELLED
    for kind, colour in zip(dict.fromkeys(kinds), SERIES * (1 + len(set(kinds)) // len(SERIES)), strict=False):
        mine = [task for task, its_kind in enumerate(kinds) if its_kind == kind]
        waits = {task: [names[a] for a, b in layout.edges if b == task] for task in mine}
        figure.add_trace(
            go.Scatter(
                x=[layout.xs[task] for task in mine], y=[layout.ys[task] for task in mine], name=kind,
                mode="markers+text" if is_labelled else "markers",
                marker={"color": colour, "size": 15 if is_labelled else 7}, textfont={"color": INK, "size": 11},
                text=[names[task].removeprefix(kind).strip() or names[task] for task in mine],
                textposition="top center",
                hovertext=[f"<b>{names[task]}</b><br>waits for {', '.join(waits[task]) or 'nobody'}" for task in mine],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(title="level: tasks of a column can run at the same time", dtick=1, showgrid=False)
    figure.update_yaxes(visible=False, range=[-layout.widest / 2 - 0.3, layout.widest / 2 + 0.3])
    figure.update_layout(margin={"l": 20, "r": 20, "t": 70, "b": 50})
    return figure
