"""The parts of a machine as a picture: sockets, cores, caches, memory, GPUs as nested boxes."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.hardware.topology import Topology
from labkit.views.theme import INK, base_layout, bytes_text

MAX_COLUMNS = 16
FILLS = {
    "socket": "rgba(128,128,128,0.10)",
    "core": "rgba(0,114,178,0.30)",
    "cache": "rgba(0,158,115,0.25)",
    "memory": "rgba(230,159,0,0.30)",
    "gpu": "rgba(204,121,167,0.35)",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a label, in units of one core's width and height."""

    kind: str
    label: str
    x0: float
    y0: float
    x1: float
    y1: float


def machine_layout(topology: Topology) -> tuple[Box, ...]:
    """Boxes from top to bottom: memory, then each socket with its caches above its cores, GPUs."""
    per_socket = max(1, topology.num_cores // topology.num_sockets)
    columns = min(per_socket, MAX_COLUMNS)
    rows = -(-per_socket // columns)
    threads = topology.num_threads // max(1, topology.num_cores)
    shared = [c for c in topology.caches if c.kind != "Instruction" and c.shared_by > threads]
    private = [c for c in topology.caches if c.kind != "Instruction" and c.shared_by <= threads]
    width = max(columns, 2)
    total = topology.num_sockets * (width + 0.6) - 0.4
    boxes = [Box("memory", f"memory {bytes_text(topology.memory_bytes)}", 0, 0, total, 0.7)]
    depth = 0.9 + 0.55 + 0.6 * len(shared) + rows * 1.3 + 0.1
    for socket in range(topology.num_sockets):
        left = socket * (width + 0.6)
        boxes.append(Box("socket", f"socket {socket}", left, 0.9, left + width + 0.2, depth))
        top = 0.9 + 0.5
        for cache in sorted(shared, key=lambda c: -c.level):
            each = -(-cache.count // topology.num_sockets)
            label = f"L{cache.level} {bytes_text(cache.size_bytes)}" + (f" × {each}" if each > 1 else "")
            boxes.append(Box("cache", label, left + 0.1, top, left + width + 0.1, top + 0.5))
            top += 0.6
        for index in range(per_socket):
            x = left + 0.1 + (index % columns) * width / columns
            y = top + (index // columns) * 1.3
            label = f"core {socket * per_socket + index}"
            if columns <= 8:
                label += f"<br>{threads} thread{'s' if threads > 1 else ''}"
                label += "".join(f"<br>L{c.level} {bytes_text(c.size_bytes)}" for c in private)
            else:
                label = str(socket * per_socket + index)
            boxes.append(Box("core", label, x + 0.04, y, x + width / columns - 0.04, y + 1.2))
    for index, gpu in enumerate(topology.gpus):
        share = total / len(topology.gpus)
        boxes.append(
            Box(
                "gpu", f"GPU {index}: {gpu.name}<br>{bytes_text(gpu.memory_bytes)}",
                index * share, depth + 0.2, (index + 1) * share - 0.1, depth + 1.1,
            )
        )
    return tuple(boxes)


def machine_figure(topology: Topology) -> go.Figure:
    """The figure of a machine."""
    boxes = machine_layout(topology)
    bottom = max(box.y1 for box in boxes)
    title = f"{topology.cpu_model}: {topology.num_cores} cores, {topology.num_usable} hardware threads for you"
    if topology.simd:
        title += f", {topology.simd}"
    figure = go.Figure(layout=base_layout(title, round(110 + 62 * bottom)))
    shapes, notes = [], []
    for box in boxes:
        shapes.append(
            {
                "type": "rect", "x0": box.x0, "x1": box.x1, "y0": box.y0, "y1": box.y1,
                "fillcolor": FILLS[box.kind], "line": {"color": INK, "width": 1}, "layer": "below",
            }
        )
        top = box.kind == "socket"
        notes.append(
            {
                "x": (box.x0 + box.x1) / 2, "y": box.y0 + 0.25 if top else (box.y0 + box.y1) / 2,
                "text": box.label, "showarrow": False, "font": {"size": 11, "color": INK},
            }
        )
    figure.add_trace(
        go.Scatter(
            x=[(b.x0 + b.x1) / 2 for b in boxes], y=[(b.y0 + b.y1) / 2 for b in boxes], mode="markers",
            marker={"opacity": 0}, hovertext=[b.label for b in boxes], hoverinfo="text", showlegend=False,
        )
    )
    figure.update_layout(
        shapes=shapes, annotations=notes, margin={"l": 20, "r": 20, "t": 50, "b": 20},
        xaxis={"visible": False, "range": [-0.1, max(b.x1 for b in boxes) + 0.1]},
        yaxis={"visible": False, "range": [bottom + 0.1, -0.1]},
    )
    return figure
