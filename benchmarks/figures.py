"""What figures send to the browser: ours against plotly's own FigureWidget."""

import plotly.graph_objects as go

from labkit.bench import Benchmark, Goal, timed
from labkit.hardware.timing import Comparison
from labkit.trace.events import RankRecord
from labkit.trace.timeline import Timeline
from labkit.views.timeline import timeline_figure, timeline_layout
from labkit.widgets.figure_widget import FigureWidget, shared_bundle

NUM_FIGURES = 20


def sent_bytes(widget) -> int:
    """Bytes of text in the state that opens a widget in the browser."""
    return sum(len(value) for value in widget.get_state().values() if isinstance(value, str))


def carried():
    ours = sent_bytes(shared_bundle())
    ours += sum(sent_bytes(FigureWidget(go.Figure(go.Scatter(y=[1, 2])))) for _ in range(NUM_FIGURES))
    other = sum(sent_bytes(go.FigureWidget(go.Figure(go.Scatter(y=[1, 2])))) for _ in range(NUM_FIGURES))
    return Comparison((ours / 1e6,), (other / 1e6,))


def long_timeline(num_spans=100_000, num_ranks=4):
    spans = tuple(
        ("Recv", "recv", 1000 * k, 1000 * k + 700, 0, 0, 8, "comm", None, 2) for k in range(num_spans // num_ranks)
    )
    end = 1000 * len(spans)
    return Timeline.from_records(RankRecord(r, spans, (), (), 0, 0, end) for r in range(num_ranks))


def benchmarks():
    yield Benchmark(
        f"bytes of {NUM_FIGURES} figures against plotly's own", Goal("<=", 0.1), carried, unit="MB",
    )
    timeline = long_timeline()

    def check():
        assert len(timeline.spans) == 100_000
        assert len(timeline_layout(timeline).bars) < 20_000

    yield Benchmark(
        "figure of 100 000 calls, aggregated against not", Goal("<=", 1.0),
        timed(
            lambda: timeline_figure(timeline).to_json(),
            lambda: timeline_figure(timeline_layout(timeline, max_bars=10**9)).to_json(), 3,
        ),
        check,
    )
