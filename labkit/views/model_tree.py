"""A model's modules with the colours of its stages, and how even the stages are: time, communication, memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.views.theme import ACCENT, GRID, INK, KIND_COLOURS, SERIES, base_layout, bytes_text, time_text

if TYPE_CHECKING:
    from labkit.training.partition.result import Partition
    from labkit.training.partition.tree import ModuleTree

RANK_COLOURS = (*SERIES, "#b8860b", "#6a51a3", "#a1d99b", "#fb9a99", "#1b7837", "#8c510a")
CUT_COLOUR = "rgba(128,128,128,0.35)"  # a module that several stages have parts of
SIZES = {"parameters": "num_parameters", "time": "compute_s", "memory": "stored_bytes"}
ROW_HEIGHT = 46  # px
NARROWEST_LABEL = 0.055  # of the whole width, for a name of 6 letters


@dataclass(frozen=True, slots=True)
class ModuleBox:
    """A module as a box: its row (0 is the model), from and to in shares of the width, its stages, hover text."""

    name: str
    depth: int
    start: float
    end: float
    stages: tuple[int, ...]
    words: str

    @property
    def label(self) -> str:
        """The last part of its name, if it fits."""
        text = self.name.rpartition(".")[2] or "model"
        return text if self.end - self.start >= NARROWEST_LABEL * max(1, len(text)) / 6 else ""


def model_tree_layout(
    tree: ModuleTree, partition: Partition | None = None, *, by: str = "parameters"
) -> list[ModuleBox]:
    """Boxes of all modules that are not 0 wide, parents first; children share the width of their parent.

    Parameters
    ----------
    tree : ModuleTree
    partition : Partition, optional
        Without it, no module has a stage.
    by : str
        What the width shows: ``"parameters"``, ``"time"``, or ``"memory"`` of activations.

    Raises
    ------
    UsageError
        ``by`` is no such word.
    """
    if by not in SIZES:
        raise UsageError(f"model tree: boxes are as wide as their {', '.join(SIZES)}, not {by!r}: pass one of them.")
    stage_of = _stages_of_leaves(tree, partition)
    return list(_boxes(tree, 0, 0.0, 1.0, SIZES[by], stage_of))


def _stages_of_leaves(tree: ModuleTree, partition: Partition | None) -> dict[str, int]:
    """The stage of every module without modules inside; those that belong to no stage are left out."""
    if partition is None:
        return {}
    named = {name: k for k, stage in enumerate(partition.stages) for name in stage}
    found = {}
    for node in tree.walk():
        parts = node.name.split(".")
        around = [".".join(parts[: k + 1]) for k in range(len(parts))]
        stages = [named[name] for name in around if name in named]
        if stages and not node.children:
            found[node.name] = stages[-1]
    return found


def _boxes(node: ModuleTree, depth: int, start: float, end: float, size: str, stage_of) -> Iterator[ModuleBox]:
    if end <= start:
        return
    stages = tuple(sorted({stage_of[leaf.name] for leaf in node.walk() if leaf.name in stage_of}))
    yield ModuleBox(node.name, depth, start, end, stages, _words(node, stages))
    sizes = [getattr(child, size) for child in node.children]
    whole = max(getattr(node, size), sum(sizes))  # a parameter that two children share counts in both
    left = start
    for child, own in zip(node.children, sizes, strict=True):
        width = (end - start) * own / whole if whole else (end - start) / len(sizes)
        yield from _boxes(child, depth + 1, left, left + width, size, stage_of)
        left += width


def _words(node: ModuleTree, stages: tuple[int, ...]) -> str:
    lines = [
        f"<b>{node.name or 'the model'}</b> ({node.kind})",
        f"{node.num_parameters:,} parameters, {bytes_text(node.parameter_bytes)}",
        f"gives {bytes_text(node.output_bytes)}, keeps {bytes_text(node.stored_bytes)} for the backward pass",
        f"forward {time_text(1e9 * node.forward_s)}, backward {time_text(1e9 * node.backward_s)}",
    ]
    if node.shared:
        lines.append(f"shares {', '.join(node.shared)} with others")
    if stages:
        lines.append(f"stage {stages[0]}" if len(stages) == 1 else f"cut: stages {', '.join(map(str, stages))}")
    return "<br>".join(lines)


def model_tree_figure(
    tree: ModuleTree, partition: Partition | None = None, *, by: str = "parameters", title: str | None = None
) -> go.Figure:
    """The tree from the model, on top, to its leaves; modules of one stage have the colour of the stage's rank."""
    boxes = model_tree_layout(tree, partition, by=by)
    num_rows = 1 + max(box.depth for box in boxes)
    unit = {"parameters": "parameters", "time": "time of forward and backward pass", "memory": "activations kept"}[by]
    figure = go.Figure(layout=base_layout(title or f"{tree.kind} by {unit}", 110 + ROW_HEIGHT * num_rows))
    groups: dict[str, tuple[str, list[ModuleBox]]] = {}
    for box in boxes:
        name, colour = _group(box, partition)
        groups.setdefault(name, (colour, []))[1].append(box)
    for name, (colour, some) in sorted(groups.items(), key=lambda item: _place_in_legend(item[0])):
        figure.add_trace(go.Bar(
            name=name, orientation="h", y=[box.depth for box in some], base=[box.start for box in some],
            x=[box.end - box.start for box in some], width=0.92,
            hoverinfo="text", hovertext=[box.words for box in some],
            text=[box.label for box in some], textposition="inside", insidetextanchor="middle", textangle=0,
            constraintext="none", cliponaxis=True, showlegend=partition is not None,
            textfont={"color": INK if colour == CUT_COLOUR else "white", "size": 11},
            marker={"color": colour, "line": {"color": "white", "width": 1}},
        ))
    figure.update_layout(
        barmode="overlay", margin={"l": 12, "r": 12, "t": 66, "b": 12},
        xaxis={"visible": False, "range": [0, 1], "fixedrange": True},
        yaxis={"visible": False, "range": [num_rows - 0.5, -0.5], "fixedrange": True},
    )
    return figure


def _place_in_legend(name: str) -> tuple[int, str]:
    """Ranks by their number, then what has none."""
    word, _, rest = name.partition(" ")
    return (int(rest.split(":")[0].split()[0]), "") if word.startswith("rank") else (1_000_000, name)


def _group(box: ModuleBox, partition: Partition | None) -> tuple[str, str]:
    """The entry of the legend that a box belongs to, and its colour."""
    if partition is None:
        return "modules", SERIES[0]
    ranks = {partition.ranks[k] for k in box.stages}
    if len(ranks) != 1:
        return ("several stages" if ranks else "no stage"), CUT_COLOUR
    rank = ranks.pop()
    number = sorted(set(partition.ranks)).index(rank)
    own = [k for k, other in enumerate(partition.ranks) if other == rank]
    last = rank + partition.costs[own[0]].num_replicas - 1
    ranks_text = f"rank {rank}" if last == rank else f"ranks {rank} to {last}"
    stages_text = f"stage {own[0]}" if len(own) == 1 else f"stages {', '.join(map(str, own))}"
    return f"{ranks_text}: {stages_text}", RANK_COLOURS[number % len(RANK_COLOURS)]


BARS = (  # kind, field, panel, bar of the panel, colour
    ("forward", "forward_s", "time", 0, KIND_COLOURS["compute"]), ("backward", "backward_s", "time", 0, SERIES[5]),
    ("receive", "receive_s", "time", 1, KIND_COLOURS["recv"]), ("send", "send_s", "time", 1, KIND_COLOURS["send"]),
    ("sync of replicas", "sync_s", "time", 2, KIND_COLOURS["collective"]),
    ("parameters, gradients, optimizer", "state_bytes", "memory", 0, "#7b6fb0"),
    ("activations", "activation_bytes", "memory", 0, SERIES[4]),
)


@dataclass(frozen=True, slots=True)
class StageBar:
    """A part of a bar: its stage, kind, panel ("time", s, or "memory", bytes), which bar, from, length, hover text."""

    stage: int
    kind: str
    panel: str
    row: int
    start: float
    length: float
    words: str


def stage_balance_layout(partition: Partition) -> list[StageBar]:
    """Bars of all stages: computing, messages, sync; and memory. Replicas share the computing and the sync."""
    bars = []
    for k, cost in enumerate(partition.costs):
        ends: dict[tuple[str, int], float] = {}
        for kind, field, panel, row, _ in BARS:
            length = getattr(cost, field)
            if kind in ("forward", "backward", "sync of replicas"):
                length /= cost.num_replicas
            if not length:
                continue
            start = ends.get((panel, row), 0.0)
            ends[panel, row] = start + length
            text = time_text(1e9 * length) if panel == "time" else bytes_text(length)
            each = f" on each of {cost.num_replicas} ranks" if cost.num_replicas > 1 else ""
            held = f" of {cost.held} micro-batch{'' if cost.held == 1 else 'es'}" if kind == "activations" else ""
            bars.append(StageBar(k, kind, panel, row, start, length, f"<b>stage {k}</b><br>{kind}{held}: {text}{each}"))
    return bars


def stage_balance_figure(
    partition: Partition, *, limit_bytes: float | None = None, title: str | None = None
) -> go.Figure:
    """Time and memory of each stage; a mark is what the stage needs for a micro-batch, a line the slowest rank.

    Parameters
    ----------
    partition : Partition
    limit_bytes : float, optional
        What a device has: a line.
    title : str, optional
    """
    slowest = partition.slowest_s
    words = f"slowest rank {time_text(1e9 * slowest)} a micro-batch, balance {partition.balance:.0%}"
    num_stages = partition.num_stages
    figure = go.Figure(layout=base_layout(title or words, 164 + 44 * num_stages))
    bars = stage_balance_layout(partition)
    rows = sorted({bar.row for bar in bars if bar.panel == "time"}) or [0]
    size, name = _time_scale(max([slowest, *(bar.start + bar.length for bar in bars if bar.panel == "time")]))
    for kind, _, panel, row, colour in BARS:
        some = [bar for bar in bars if bar.kind == kind]
        if not some:
            continue
        unit = size if panel == "time" else 2**20
        height = 0.8 / len(rows) if panel == "time" else 0.8
        shift = (rows.index(row) - (len(rows) - 1) / 2) * height if panel == "time" else 0.0
        axes = {} if panel == "time" else {"xaxis": "x2", "yaxis": "y2"}
        figure.add_trace(go.Bar(
            name=kind, orientation="h", y=[bar.stage + shift for bar in some], base=[bar.start / unit for bar in some],
            x=[bar.length / unit for bar in some], width=0.92 * height, hoverinfo="text",
            hovertext=[bar.words for bar in some], marker={"color": colour}, **axes,
        ))
    figure.add_trace(go.Scatter(
        name="a micro-batch", x=[cost.stage_s / size for cost in partition.costs], y=list(range(num_stages)),
        mode="markers",
        marker={"symbol": "diamond-tall", "size": 13, "color": INK, "line": {"color": "white", "width": 1}},
        hoverinfo="text",
        hovertext=[f"<b>stage {k}</b>: {time_text(1e9 * c.stage_s)}" for k, c in enumerate(partition.costs)],
    ))
    figure.add_shape(
        type="line", x0=slowest / size, x1=slowest / size, y0=-0.5, y1=num_stages - 0.5,
        line={"color": ACCENT, "width": 1.5, "dash": "dash"},
    )
    if limit_bytes is not None:
        figure.add_shape(
            type="line", xref="x2", yref="y2", x0=limit_bytes / 2**20, x1=limit_bytes / 2**20, y0=-0.5,
            y1=num_stages - 0.5, line={"color": ACCENT, "width": 2},
        )
    labels = [
        f"stage {k}" + (f" x {cost.num_replicas}" if cost.num_replicas > 1 else "")
        for k, cost in enumerate(partition.costs)
    ]
    side = {
        "range": [num_stages - 0.5, -0.5], "tickvals": list(range(num_stages)), "showgrid": False, "zeroline": False,
    }
    own = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "tickfont": {"color": INK}}
    figure.update_layout(
        barmode="overlay", margin={"l": 84, "r": 24, "t": 44, "b": 110},
        xaxis={"title": {"text": f"{name} a micro-batch"}, "domain": [0, 0.56], "rangemode": "tozero"},
        yaxis={**side, "ticktext": labels},
        xaxis2={**own, "title": {"text": "MiB a device", "font": {"color": INK}}, "domain": [0.62, 1], "anchor": "y2",
                "rangemode": "tozero"},
        yaxis2={**own, **side, "showticklabels": False, "anchor": "x2"},
        legend={"orientation": "h", "x": 0, "y": -60 / (10 + 44 * num_stages), "yanchor": "top"},
    )
    return figure


def _time_scale(longest_s: float) -> tuple[float, str]:
    for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if longest_s >= size:
            return size, name
    return 1e-6, "µs"
