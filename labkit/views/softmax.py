"""Pictures of softmax: probabilities and temperature, where the definition fails, passes, merges, errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.softmax.accuracy import Accuracy, FailureMap
from labkit.softmax.ladder import Version
from labkit.softmax.online import merge_tree, state
from labkit.softmax.shifted import softmax_shifted
from labkit.views.theme import ACCENT, INK, KIND_COLOURS, SERIES, base_layout

READ_COLOUR, WRITE_COLOUR = KIND_COLOURS["send"], KIND_COLOURS["window"]
MOST_LEAVES = 16
LEAST_ERROR = 1e-2  # ulp; what is shown of smaller ones


@dataclass(frozen=True, slots=True)
class ProbabilitiesLayout:
    """Logits, probabilities at 1 and at the temperature, and the entropies of both in bits."""

    names: tuple[str, ...]
    logits: tuple[float, ...]
    plain: tuple[float, ...]
    tempered: tuple[float, ...]
    plain_bits: float
    tempered_bits: float


def probabilities_layout(
    logits: Sequence[float], temperature: float = 1.0, names: Sequence[str] | None = None
) -> ProbabilitiesLayout:
    """Probabilities of one row of finite logits.

    Examples
    --------
    >>> layout = probabilities_layout([0.0, 0.0], 2.0)
    >>> layout.tempered, layout.tempered_bits
    ((0.5, 0.5), 1.0)
    """
    if not 0 < temperature < math.inf:
        raise UsageError(f"temperature is a finite number more than 0, not {temperature!r}: pass such a number.")
    row = np.asarray(logits, np.float64)[None]
    names = tuple(str(k) for k in range(row.size)) if names is None else tuple(names)
    if len(names) != row.size:
        raise UsageError(f"names: one for each of the {row.size} logits, not {len(names)}: pass as many.")
    plain, tempered = softmax_shifted(row)[0], softmax_shifted((row - row.max()) / temperature)[0]
    return ProbabilitiesLayout(
        names, tuple(row[0].tolist()), tuple(plain.tolist()), tuple(tempered.tolist()), _bits(plain), _bits(tempered)
    )


def _bits(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum()) + 0.0


def probabilities_figure(
    logits: Sequence[float], temperature: float = 1.0, names: Sequence[str] | None = None
) -> go.Figure:
    """Logits on the left, probabilities on the right: at the temperature, and at 1 as outlines."""
    layout = probabilities_layout(logits, temperature, names)
    figure = make_subplots(1, 2, horizontal_spacing=0.12, subplot_titles=("logits", "probabilities"))
    figure.add_trace(
        go.Bar(name="logits", x=layout.names, y=layout.logits, marker={"color": SERIES[5]}, showlegend=False,
               hovertemplate="%{x}: %{y:.4g}<extra></extra>"), 1, 1,
    )
    figure.add_trace(
        go.Bar(name=f"temperature {temperature:g}", x=layout.names, y=layout.tempered, marker={"color": SERIES[0]},
               hovertemplate="%{x}: %{y:.4g}<extra></extra>"), 1, 2,
    )
    if temperature != 1:
        figure.add_trace(
            go.Bar(name="temperature 1", x=layout.names, y=layout.plain,
                   marker={"color": "rgba(0,0,0,0)", "line": {"color": ACCENT, "width": 2}},
                   hovertemplate="%{x}: %{y:.4g}<extra></extra>"), 1, 2,
        )
    figure.update_layout(base_layout(f"<b>Softmax</b> at temperature {temperature:g}: {_entropy_words(layout)}", 360))
    figure.update_layout(barmode="overlay", margin={"t": 90}, legend={"x": 1, "xanchor": "right", "y": 1.1})
    figure.update_xaxes(type="category", title={"text": "class"})
    figure.update_yaxes(range=[0, 1.02], title={"text": "probability"}, col=2)
    figure.update_annotations(font={"color": INK, "size": 13})
    return figure


def _entropy_words(layout: ProbabilitiesLayout) -> str:
    return f"entropy {layout.tempered_bits:.3g} of at most {math.log2(max(len(layout.names), 1)):.3g} bits"


def failure_figure(failures: FailureMap) -> go.Figure:
    """A heat map over offset and format: the digits that are right, and where the result is NaN."""
    digits = failure_digits(failures)
    text = [
        [f"{dtype}, offset {x:g}<br>{_digits_words(value)}" for x, value in zip(failures.offsets, row, strict=True)]
        for dtype, row in zip(failures.dtypes, digits, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            x=[f"{offset:g}" for offset in failures.offsets], y=list(failures.dtypes), z=digits, zmin=-1, zmax=16,
            colorscale=[(0, ACCENT), (0.0588, ACCENT), (0.0588, "#f6e3b4"), (1, "#00684d")], xgap=2, ygap=4,
            hoverinfo="text", hovertext=text, colorbar={
                "title": {"text": "digits<br>right"}, "tickvals": [-0.5, 4, 8, 12, 16],
                "ticktext": ["NaN", "4", "8", "12", "16"], "thickness": 14, "tickfont": {"color": INK},
            },
        ),
        layout=base_layout(f"exp(x) / sum(exp(x)) of {list(failures.row)} plus an offset", 300),
    )
    figure.update_xaxes(type="category", title={"text": "offset added to all logits"})
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def failure_digits(failures: FailureMap) -> list[list[float]]:
    """Decimal digits that are right, 0 to 16; -1 for NaN.

    Examples
    --------
    >>> failure_digits(FailureMap((0.0,), (0.0, 1.0, 2.0), ("float32",), np.array([[1e-7, np.inf, 0.0]])))
    [[7.0, -1.0, 16.0]]
    """
    with np.errstate(divide="ignore"):
        digits = np.clip(-np.log10(failures.errors), 0, 16)
    return np.where(np.isinf(failures.errors), -1.0, digits).round(9).tolist()


def _digits_words(value: float) -> str:
    return "NaN: overflow or 0/0" if value < 0 else f"{value:.1f} digits right"


def passes_figure(
    versions: Sequence[Version], *, itemsize: int = 4, bandwidth: float | None = None,
    times_s: Mapping[str, float] | None = None,
) -> go.Figure:
    """How often each version reads and writes an element of memory; with a bandwidth, the least time of that.

    Parameters
    ----------
    versions : values of :data:`labkit.softmax.ladder.VERSIONS`
    itemsize : int
        Bytes of an element.
    bandwidth : float, optional
        Of memory in bytes/s, as :class:`labkit.hardware.roofline.Roofline` has it.
    times_s : dict, optional
        Measured seconds an element, by the name of the version; needs the bandwidth.
    """
    if times_s and not bandwidth:
        raise UsageError("times_s are compared with the least times, which need bandwidth=: pass it, in bytes/s.")
    names = [version.name for version in versions]
    figure = make_subplots(1, 2 if bandwidth else 1, shared_yaxes=True, horizontal_spacing=0.06)
    for word, colour, values in (
        ("reads", READ_COLOUR, [v.num_reads for v in versions]),
        ("writes", WRITE_COLOUR, [v.num_writes for v in versions]),
    ):
        words = [
            f"{v.name}: {v.idea}<br>{n} {word} of {itemsize} bytes an element"
            for v, n in zip(versions, values, strict=True)
        ]
        figure.add_trace(
            go.Bar(name=word, y=names, x=values, orientation="h", marker={"color": colour}, hovertext=words,
                   hoverinfo="text"), 1, 1,
        )
    figure.update_layout(base_layout("Passes over memory, of a row that fits in no cache", 110 + 34 * len(names)))
    figure.update_layout(barmode="stack", margin={"l": 90, "t": 80}, legend={"traceorder": "normal"})
    figure.update_xaxes(title={"text": "times an element is read or written"}, dtick=1, col=1)
    figure.update_yaxes(autorange="reversed", type="category")
    if bandwidth:
        least = [1e9 * itemsize * (v.num_reads + v.num_writes) / bandwidth for v in versions]
        figure.add_trace(
            go.Bar(name="least time", y=names, x=least, orientation="h", marker={"color": SERIES[5]},
                   hovertemplate="%{y}: at least %{x:.3g} ns an element<extra></extra>"), 1, 2,
        )
        times = [(1e9 * times_s[name] if times_s and name in times_s else None) for name in names]
        figure.add_trace(
            go.Scatter(name="measured", y=names, x=times, mode="markers",
                       hovertemplate="%{y}: %{x:.3g} ns<extra></extra>", showlegend=bool(times_s),
                       marker={"symbol": "diamond", "size": 11, "color": ACCENT}), 1, 2,
        )
        known = [t for t in (*least, *times) if t]
        wide = max(known) > 20 * min(known)
        figure.update_xaxes(title={"text": "ns an element"}, type="log" if wide else "linear", col=2)
    return figure


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A state in the tree: its level from the leaves, its place across, (m, d), and the nodes it was merged from."""

    level: int
    x: float
    m: float
    d: float
    parts: tuple[int, ...]


def merge_tree_layout(logits: Sequence[float]) -> tuple[TreeNode, ...]:
    """The states of online softmax of 1 to 16 logits, merged in pairs: leaves first, the root last.

    Examples
    --------
    >>> [(node.level, node.x, node.parts) for node in merge_tree_layout([1.0, 2.0, 3.0])]
    [(0, 0.0, ()), (0, 1.0, ()), (0, 2.0, ()), (1, 0.5, (0, 1)), (1, 2.0, (2,)), (2, 1.25, (3, 4))]
    """
    if not 1 <= len(logits) <= MOST_LEAVES:
        raise UsageError(f"the tree shows 1 to {MOST_LEAVES} logits, not {len(logits)}: pass fewer.")
    nodes: list[TreeNode] = []
    below: list[int] = []
    for level, states in enumerate(merge_tree([state([value]) for value in logits])):
        here = []
        for k, (m, d) in enumerate(states):
            parts = tuple(below[2 * k : 2 * k + 2]) if level else ()
            x = float(np.mean([nodes[p].x for p in parts])) if parts else float(k)
            here.append(len(nodes))
            nodes.append(TreeNode(level, x, m, d, parts))
        below = here
    return tuple(nodes)


def merge_tree_figure(logits: Sequence[float]) -> go.Figure:
    """The tree of merges: each box is the maximum m and the sum d of exp(x - m) of the leaves below it."""
    nodes = merge_tree_layout(logits)
    depth = nodes[-1].level
    figure = go.Figure(layout=base_layout("<b>Online softmax</b>: states (m, d) merged in pairs", 170 + 75 * depth))
    lines = [(node, nodes[part]) for node in nodes for part in node.parts]
    figure.add_trace(
        go.Scatter(
            x=[v for a, b in lines for v in (b.x, a.x, None)],
            y=[v for a, b in lines for v in (b.level, a.level, None)],
            mode="lines", line={"color": INK, "width": 1.2}, hoverinfo="skip", showlegend=False,
        )
    )
    size = 10 if len(logits) > 10 else 12
    for node in nodes:
        scaled = any(nodes[part].m != node.m for part in node.parts)
        figure.add_annotation(
            x=node.x, y=node.level, text=f"m {node.m:.4g}<br>d {node.d:.4g}", showarrow=False, align="left",
            font={"size": size, "color": "#1d1f21"}, bgcolor="#fbe3d2" if scaled else "#dcecf7",
            bordercolor=WRITE_COLOUR if scaled else READ_COLOUR, borderpad=3,
            hovertext=_merge_words(node, nodes),
        )
    figure.update_xaxes(visible=False, range=[-0.7, len(logits) - 0.3])
    figure.update_yaxes(visible=False, range=[-0.5, depth + 0.5])
    figure.add_annotation(
        x=0, y=-0.02, xref="paper", yref="paper", showarrow=False, xanchor="left", yanchor="top",
        text="orange: parts had different maxima, the sum of one was scaled", font={"color": INK},
    )
    return figure


def _merge_words(node: TreeNode, nodes: Sequence[TreeNode]) -> str:
    if len(node.parts) < 2:
        return "one logit" if not node.parts else "nothing to merge with"
    terms = " + ".join(f"{nodes[p].d:.4g} exp({nodes[p].m:.4g} - {node.m:.4g})" for p in node.parts)
    return f"d = {terms} = {node.d:.6g}"


def accuracy_figure(results: Sequence[Accuracy]) -> go.Figure:
    """Largest and mean error of versions in ulp; versions that gave NaN are marked."""
    title = "Error against 50 digits, in units of the last place"
    figure = go.Figure(layout=base_layout(title, 130 + 30 * len(results)))
    labels = [f"{r.version}, {r.dtype}" for r in results]
    for word, colour, values in (
        ("largest", SERIES[0], [r.max_ulp for r in results]), ("mean", SERIES[4], [r.mean_ulp for r in results]),
    ):
        symbol = "circle" if word == "largest" else "line-ns-open"
        figure.add_trace(
            go.Scatter(
                name=word, y=labels, x=[max(v, LEAST_ERROR) if math.isfinite(v) else None for v in values],
                mode="markers", marker={"size": 11, "color": colour, "symbol": symbol}, hoverinfo="text",
                hovertext=[f"{label}: {word} {v:.3g} ulp" for label, v in zip(labels, values, strict=True)],
            )
        )
    finite = [r.max_ulp for r in results if math.isfinite(r.max_ulp)]
    top = max(4.0, 2 * max(finite, default=1.0))
    for label, result in zip(labels, results, strict=True):
        if not math.isfinite(result.max_ulp):
            font = {"color": ACCENT, "size": 13}
            figure.add_annotation(x=math.log10(0.5), y=label, text="NaN", showarrow=False, font=font)
    figure.add_vline(x=0.5, line={"color": INK, "dash": "dot", "width": 1})
    figure.add_annotation(
        x=math.log10(0.5), y=1, yref="paper", yanchor="bottom", xanchor="left", text="rounded correctly: 0.5 at most",
        showarrow=False, font={"color": INK},
    )
    figure.update_layout(margin={"l": 140, "t": 90}, legend={"x": 1, "xanchor": "right"})
    span = [math.log10(LEAST_ERROR) - 0.1, math.log10(top)]
    figure.update_xaxes(type="log", range=span, dtick=1, title={"text": "ulp"})
    figure.update_yaxes(type="category", autorange="reversed", categoryorder="array", categoryarray=labels)
    return figure
