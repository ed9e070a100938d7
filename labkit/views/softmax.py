"""Pictures of softmax: probabilities and temperature, where the definition fails, errors.

Passes over memory are in :mod:`.softmax_passes`, the merges of the online version in :mod:`.merge_tree`, messages in
:mod:`.vocabulary`, calibration in :mod:`.calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.errors import UsageError
from labkit.softmax.accuracy import Accuracy, FailureMap
from labkit.softmax.arguments import check_targets, share
from labkit.softmax.options import prepared_logits
from labkit.softmax.shifted import log_softmax, softmax_shifted
from labkit.views.merge_tree import merge_tree_figure, merge_tree_layout
from labkit.views.theme import ACCENT, INK, SERIES, base_layout

__all__ = [
    "accuracy_figure", "failure_digits", "failure_figure", "merge_tree_figure", "merge_tree_layout",
    "probabilities_figure", "probabilities_layout",
]
LEAST_ERROR = 1e-2  # ulp; what is shown of smaller ones
LEFT_OUT = "rgba(128,128,128,0.35)"


@dataclass(frozen=True, slots=True)
class ProbabilitiesLayout:
    """Logits and what becomes of them.

    Attributes
    ----------
    names : tuple of str
    logits : tuple of float
    plain : tuple of float
        Probabilities of all logits at temperature 1.
    tempered : tuple of float
        At the temperature, of those that take part; NaN where none does.
    takes_part : tuple of bool
    target : tuple of float or None
        The distribution that the loss asks for.
    plain_bits, tempered_bits : float
        Entropies.
    loss : float or None
        Cross-entropy of ``tempered`` with the target, in nats; infinite where a class with a share has no probability.
    """

    names: tuple[str, ...]
    logits: tuple[float, ...]
    plain: tuple[float, ...]
    tempered: tuple[float, ...]
    takes_part: tuple[bool, ...]
    target: tuple[float, ...] | None
    plain_bits: float
    tempered_bits: float
    loss: float | None


def probabilities_layout(
    logits: Sequence[float], temperature: float = 1.0, names: Sequence[str] | None = None, *,
    mask: Sequence[bool] | None = None, top_k: int | None = None, target: int | None = None,
    label_smoothing: float = 0.0,
) -> ProbabilitiesLayout:
    """Probabilities of one row of logits.

    Parameters
    ----------
    logits : sequence of float
        At least one.
    temperature, mask, top_k
        As in :func:`labkit.softmax.options.masked_softmax`.
    names : sequence of str, optional
        Of the classes; their numbers by default.
    target : int, optional
        The right class.
    label_smoothing : float
        0 to 1: the share of the target that is spread over all classes.

    Examples
    --------
    >>> layout = probabilities_layout([0.0, 0.0], 2.0)
    >>> layout.tempered, layout.tempered_bits
    ((0.5, 0.5), 1.0)
    >>> layout = probabilities_layout([0.0, 0.0, 9.0], mask=[True, True, False], target=0, label_smoothing=0.5)
    >>> layout.tempered, [round(t, 3) for t in layout.target], layout.loss
    ((0.5, 0.5, 0.0), [0.667, 0.167, 0.167], inf)
    """
    if not 0 < temperature < math.inf:
        raise UsageError(f"temperature is a finite number more than 0, not {temperature!r}: pass such a number.")
    row = np.asarray(logits, np.float64)[None]
    if row.ndim != 2 or not row.size:
        raise UsageError(f"logits are one row of at least one number, not of the shape {row.shape[1:]}: pass such.")
    names = tuple(str(k) for k in range(row.size)) if names is None else tuple(names)
    if len(names) != row.size:
        raise UsageError(f"names: one for each of the {row.size} logits, not {len(names)}: pass as many.")
    chosen = {"mask": None if mask is None else np.asarray(mask, bool), "top_k": top_k}
    takes_part = prepared_logits(row, **chosen)[0] != -np.inf
    tempered_logits = prepared_logits(row, temperature=temperature, **chosen)
    plain, tempered = softmax_shifted(row)[0], softmax_shifted(tempered_logits)[0]
    wanted, loss = None, None
    if target is not None:
        smoothing = share("label_smoothing", label_smoothing)
        wanted = np.full(row.size, smoothing / row.size)
        wanted[check_targets([target], 1, row.size)[0]] += 1 - smoothing
        asked = wanted > 0
        loss = float(-(wanted[asked] * log_softmax(tempered_logits)[0][asked]).sum()) + 0.0
    return ProbabilitiesLayout(
        names, tuple(row[0].tolist()), tuple(plain.tolist()), tuple(tempered.tolist()), tuple(takes_part.tolist()),
        None if wanted is None else tuple(wanted.tolist()), _bits(plain), _bits(tempered), loss,
    )


def _bits(p: np.ndarray) -> float:
    if np.isnan(p).any():
        return math.nan
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum()) + 0.0


def probabilities_figure(
    logits: Sequence[float], temperature: float = 1.0, names: Sequence[str] | None = None, *,
    mask: Sequence[bool] | None = None, top_k: int | None = None, target: int | None = None,
    label_smoothing: float = 0.0,
) -> go.Figure:  # fmt: skip
    """Logits on the left, probabilities on the right: as asked, those at temperature 1 as outlines, the target.

    Parameters as :func:`probabilities_layout`. Always four traces.
    """
    layout = probabilities_layout(
        logits, temperature, names, mask=mask, top_k=top_k, target=target, label_smoothing=label_smoothing
    )
    figure = make_subplots(1, 2, horizontal_spacing=0.12, subplot_titles=("logits", "probabilities"))
    colours = [SERIES[5] if takes_part else LEFT_OUT for takes_part in layout.takes_part]
    hover = "%{x}: %{y:.4g}<extra></extra>"
    figure.add_trace(
        go.Bar(name="logits", x=layout.names, y=layout.logits, marker={"color": colours}, showlegend=False,
               hovertemplate=hover), 1, 1,
    )
    figure.add_trace(
        go.Bar(name=f"temperature {temperature:g}", x=layout.names, y=layout.tempered, marker={"color": SERIES[0]},
               hovertemplate=hover), 1, 2,
    )
    differs = not np.allclose(layout.plain, layout.tempered, rtol=1e-12, atol=0, equal_nan=True)
    figure.add_trace(
        go.Bar(name="all logits, temperature 1", x=layout.names, y=layout.plain if differs else [None] * len(colours),
               marker={"color": "rgba(0,0,0,0)", "line": {"color": ACCENT, "width": 2}}, showlegend=differs,
               hovertemplate=hover), 1, 2,
    )
    has_target = layout.target is not None
    figure.add_trace(
        go.Scatter(name="target", x=layout.names, y=layout.target if has_target else [None] * len(colours),
                   mode="markers", marker={"symbol": "diamond", "size": 10, "color": SERIES[2]}, showlegend=has_target,
                   hovertemplate=hover), 1, 2,
    )
    figure.update_layout(base_layout(f"<b>Softmax</b> at temperature {temperature:g}: {_words(layout)}", 390))
    figure.update_layout(
        barmode="overlay", margin={"t": 80, "b": 80},
        legend={"x": 1, "xanchor": "right", "y": -0.2, "yanchor": "top"},
    )
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(layout.names))
    figure.update_yaxes(range=[0, 1.03], col=2)
    figure.update_annotations(font={"color": INK, "size": 13})
    return figure


def _words(layout: ProbabilitiesLayout) -> str:
    if math.isnan(layout.tempered_bits):
        return "there is no distribution"
    words = f"entropy {layout.tempered_bits:.3g} of at most {math.log2(len(layout.names)):.3g} bits"
    if layout.loss is not None:
        words += f"; loss {layout.loss:.4g} nats" if math.isfinite(layout.loss) else "; the loss is infinite"
    return words


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
        layout=base_layout(f"{_formula(failures.version)} of {_row(failures.row)} plus an offset", 300),
    )
    figure.update_xaxes(type="category", title={"text": "offset added to all logits"})
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def _formula(version: str) -> str:
    return "exp(x) / sum(exp(x))" if version == "naive" else f"Version <b>{version}</b>"


def _row(row: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in row) + "]"


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
