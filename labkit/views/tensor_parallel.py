"""Tensor parallelism: who holds which part of which matrix, and where messages are."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.mpi.collectives.arguments import block_ends
from labkit.training.tensor_parallel.traffic import SEQUENCE, TENSOR, block_messages
from labkit.views.theme import ACCENT, GRID, INK, SERIES, base_layout, bytes_text

MOST_RANKS = 8
RANK_COLOURS = (*SERIES, "#8c564b", "#7f7f7f")  # one a rank
SHARED = "rgba(128,128,128,0.30)"  # what all ranks have
ROWS_HEIGHT, COLUMNS_WIDTH, HIDDEN = 1.0, 1.0, 2.0  # drawn sizes: tokens, width, hidden values
GAP = 0.62  # between matrices
MESSAGE_GAP = 1.15  # where a message stands
SHIFT = 0.10  # of partial sums, one behind the other


@dataclass(frozen=True, slots=True)
class MatrixBox:
    """A rectangle of the picture.

    Attributes
    ----------
    matrix : str
        ``"X"``, ``"A"``, ``"H"``, ``"B"``, ``"partial Y"`` or ``"Y"``; with sequence parallelism ``"own X"`` too.
    rank : int or None
        Whose it is; None: every rank has it.
    left, bottom, right, top : float
    words : str
        For the pointer.
    """

    matrix: str
    rank: int | None
    left: float
    bottom: float
    right: float
    top: float
    words: str


@dataclass(frozen=True, slots=True)
class MatrixMessage:
    """A collective call between two matrices, at a place of the picture."""

    kind: str
    x: float
    forward: str
    backward: str
    num_bytes: int
    sent_bytes: float


@dataclass(frozen=True, slots=True)
class MatrixPicture:
    """All of it, with the names of the matrices (text, x, y)."""

    boxes: tuple[MatrixBox, ...]
    messages: tuple[MatrixMessage, ...]
    names: tuple[tuple[str, float, float], ...]
    signs: tuple[tuple[str, float], ...]
    width: float


def tensor_parallel_layout(
    num_ranks: int, width: int = 1024, tokens: int = 512, *, hidden: int | None = None, scheme: str = TENSOR,
    itemsize: int = 4,
) -> MatrixPicture:
    """The two products ``Y = GELU(X A) B``: A divided by columns, B by rows.

    Parameters
    ----------
    num_ranks : int
        1 to 8.
    width, tokens : int
        X is tokens x width.
    hidden : int, optional
        A is width x hidden; 4 width by default.
    scheme : str
        One of :data:`labkit.training.tensor_parallel.traffic.SCHEMES`.
    itemsize : int
        Bytes of a value.

    Raises
    ------
    UsageError
        Another number of ranks, fewer hidden values than ranks, another scheme.

    Examples
    --------
    >>> picture = tensor_parallel_layout(2, 8, 4)
    >>> [(box.matrix, box.rank) for box in picture.boxes if box.matrix not in ("A", "H")]
    [('X', None), ('B', 0), ('B', 1), ('partial Y', 0), ('partial Y', 1), ('Y', None)]
    >>> [(message.kind, message.sent_bytes) for message in picture.messages]
    [('backward: all-reduce', 128.0), ('forward: all-reduce', 128.0)]
    """
    hidden = 4 * width if hidden is None else hidden
    if not 1 <= num_ranks <= MOST_RANKS:
        raise UsageError(f"the picture has room for 1 to {MOST_RANKS} ranks, not for {num_ranks}: pass such a number.")
    if hidden < num_ranks:
        raise UsageError(
            f"{hidden} hidden values cannot be shared out to {num_ranks} ranks: use {hidden} ranks or fewer."
        )
    messages = block_messages(num_ranks, width, tokens, 1, scheme, itemsize=itemsize)
    maker = _Maker(num_ranks, width, tokens, hidden)
    is_divided = scheme == SEQUENCE and num_ranks > 1
    found = []
    if is_divided:
        maker.rows("own X", "tokens of X")
        found.append(_message("all-gather", "reduce-scatter", maker.message(), messages))
    maker.whole("X", f"X, {tokens} x {width}: every rank has all of it")
    if num_ranks > 1 and not is_divided:
        found.append(_message("", "all-reduce", maker.message(), messages))
    else:
        maker.sign("x")
    maker.columns("A", ROWS_HEIGHT, width, "columns of A")
    maker.sign("=")
    maker.columns("H", ROWS_HEIGHT, tokens, "columns of H = GELU(X A)")
    maker.sign("x")
    maker.inner_rows("B")
    maker.sign("=")
    if num_ranks > 1:
        maker.partial()
        place = maker.message()
        both = ("reduce-scatter", "all-gather") if is_divided else ("all-reduce", "")
        found.append(_message(*both, place, messages))
    if is_divided:
        maker.rows("Y", "tokens of Y")
    else:
        maker.whole("Y", f"Y, {tokens} x {width}: every rank has all of it")
    return MatrixPicture(
        tuple(maker.boxes), tuple(found), tuple(maker.names), tuple(maker.signs), maker.x - GAP
    )


def _message(forward: str, backward: str, x: float, messages) -> MatrixMessage:
    kind = forward or backward
    like = next(message for message in messages if message.kind == kind)
    words = " / ".join(f"{way}: {text}" for way, text in (("forward", forward), ("backward", backward)) if text)
    return MatrixMessage(words, x, forward, backward, like.num_bytes, like.sent_bytes)


class _Maker:
    """Puts matrices side by side, from the left to the right."""

    def __init__(self, num_ranks: int, width: int, tokens: int, hidden: int):
        self.num_ranks, self.width, self.tokens, self.hidden = num_ranks, width, tokens, hidden
        self.ends = block_ends(hidden, num_ranks)
        self.x = 0.0
        self.boxes: list[MatrixBox] = []
        self.names: list[tuple[str, float, float]] = []
        self.signs: list[tuple[str, float]] = []

    def _name(self, text: str, right: float, top: float) -> None:
        self.names.append((text, (self.x + right) / 2, top))
        self.x = right + GAP

    def message(self) -> float:
        """Room for a message; its middle."""
        middle = self.x - GAP + MESSAGE_GAP / 2
        self.x += MESSAGE_GAP - GAP
        return middle

    def sign(self, text: str) -> None:
        self.signs.append((text, self.x - GAP / 2))

    def whole(self, name: str, words: str) -> None:
        right, half = self.x + COLUMNS_WIDTH, ROWS_HEIGHT / 2
        self.boxes.append(MatrixBox(name, None, self.x, -half, right, half, words))
        self._name(f"<b>{name}</b><br>{self.tokens} x {self.width}", right, half)

    def rows(self, name: str, what: str) -> None:
        """Rows of tokens, one part a rank, the first at the top."""
        right, half, ends = self.x + COLUMNS_WIDTH, ROWS_HEIGHT / 2, block_ends(self.tokens, self.num_ranks)
        for rank in range(self.num_ranks):
            top, bottom = (half - ROWS_HEIGHT * end / self.tokens for end in ends[rank : rank + 2])
            words = f"rank {rank}: {ends[rank + 1] - ends[rank]} of {self.tokens} {what}"
            self.boxes.append(MatrixBox(name, rank, self.x, bottom, right, top, words))
        self._name(f"<b>{name}</b><br>by rows", right, half)

    def columns(self, name: str, height: float, num_rows: int, what: str) -> None:
        left, half = self.x, height / 2
        for rank in range(self.num_ranks):
            start, stop = (left + HIDDEN * end / self.hidden for end in self.ends[rank : rank + 2])
            words = f"rank {rank}: {self.ends[rank + 1] - self.ends[rank]} of {self.hidden} {what}"
            self.boxes.append(MatrixBox(name, rank, start, -half, stop, half, words))
        by = "<br>by columns" if self.num_ranks > 1 else ""
        self._name(f"<b>{name}</b><br>{num_rows} x {self.hidden}{by}", left + HIDDEN, half)

    def inner_rows(self, name: str) -> None:
        right, half = self.x + COLUMNS_WIDTH, HIDDEN / 2
        for rank in range(self.num_ranks):
            top, bottom = (half - HIDDEN * end / self.hidden for end in self.ends[rank : rank + 2])
            words = f"rank {rank}: {self.ends[rank + 1] - self.ends[rank]} of {self.hidden} rows of B"
            self.boxes.append(MatrixBox(name, rank, self.x, bottom, right, top, words))
        by = "<br>by rows" if self.num_ranks > 1 else ""
        self._name(f"<b>{name}</b><br>{self.hidden} x {self.width}{by}", right, half)

    def partial(self) -> None:
        left, half, last = self.x, ROWS_HEIGHT / 2, SHIFT * (self.num_ranks - 1)
        for rank in reversed(range(self.num_ranks)):  # the first one in front
            across, up = left + SHIFT * rank, SHIFT * rank - last / 2
            words = f"rank {rank}: its hidden values' part of the sum, {self.tokens} x {self.width}"
            self.boxes.append(MatrixBox(
                "partial Y", rank, across, up - half, across + COLUMNS_WIDTH, up + half, words
            ))
        self.boxes[-self.num_ranks :] = self.boxes[: -self.num_ranks - 1 : -1]  # in the order of the ranks
        self._name(f"<b>partial sums</b><br>{self.num_ranks} of {self.tokens} x {self.width}",
                   left + COLUMNS_WIDTH + last, half + last / 2)


def tensor_parallel_figure(
    num_ranks: int, width: int = 1024, tokens: int = 512, *, hidden: int | None = None, scheme: str = TENSOR,
    itemsize: int = 4,
) -> go.Figure:
    """The picture of :func:`tensor_parallel_layout`: a colour a rank, grey is what every rank has."""
    picture = tensor_parallel_layout(num_ranks, width, tokens, hidden=hidden, scheme=scheme, itemsize=itemsize)
    figure = go.Figure(layout=base_layout(f"Two products on {num_ranks} rank{'s' * (num_ranks > 1)}: {scheme}", 430))
    for rank in (None, *range(num_ranks)):
        own = [box for box in picture.boxes if box.rank == rank]
        if not own:
            continue
        for number, box in enumerate(sorted(own, key=lambda box: -box.left)):
            figure.add_trace(go.Scatter(
                x=[box.left, box.right, box.right, box.left, box.left],
                y=[box.bottom, box.bottom, box.top, box.top, box.bottom],
                mode="lines", fill="toself", fillcolor=SHARED if rank is None else RANK_COLOURS[rank],
                line={"color": INK, "width": 1}, opacity=0.85, name="every rank" if rank is None else f"rank {rank}",
                legendgroup=str(rank), showlegend=number == 0, hoveron="fills", hoverinfo="text", text=box.words,
            ))
    for text, x, top in picture.names:
        figure.add_annotation(x=x, y=top, yshift=4, text=text, showarrow=False, yanchor="bottom", font={"size": 11})
    for text, x in picture.signs:
        figure.add_annotation(x=x, y=0, text="×" if text == "x" else text, showarrow=False, font={"size": 18})
    for message in picture.messages:
        _draw_message(figure, message)
    figure.update_layout(
        xaxis={"visible": False, "range": [-0.2, picture.width + 0.2], "fixedrange": True},
        yaxis={"visible": False, "range": [-1.9, 1.85], "fixedrange": True},
        margin={"l": 10, "r": 10, "t": 44, "b": 40}, legend={"y": -0.02, "yanchor": "top", "traceorder": "normal"},
    )
    return figure


def _draw_message(figure: go.Figure, message: MatrixMessage) -> None:
    """An arrow to the right for what travels forward, to the left backward, with its words."""
    for text, way, up in ((message.forward, 1, 0.10), (message.backward, -1, -0.10)):
        if not text:
            continue
        start, end = message.x - 0.38 * way, message.x + 0.38 * way
        figure.add_annotation(
            x=end, y=up, ax=start, ay=up, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True, arrowhead=2,
            arrowwidth=2, arrowcolor=ACCENT,
        )
        words = f"<b>{text}</b><br>{'forward' if way > 0 else 'backward'}, sends {bytes_text(message.sent_bytes)}"
        y, anchor = (up + 0.06, "bottom") if way > 0 else (up - 0.06, "top")
        if not (message.forward and message.backward):
            y, anchor = (-1.12, "top")
            figure.add_shape(
                type="line", x0=message.x, x1=message.x, y0=-1.08, y1=up - 0.06, line={"color": GRID, "width": 1, "dash": "dot"}
            )
        else:
            y, anchor = (1.30, "bottom") if way > 0 else (-1.12, "top")
            figure.add_shape(
                type="line", x0=message.x, x1=message.x, y0=up + 0.05 * way, y1=1.28 if way > 0 else -1.08,
                line={"color": GRID, "width": 1, "dash": "dot"},
            )
        figure.add_annotation(
            x=message.x, y=y, text=words, showarrow=False, yanchor=anchor, font={"size": 11, "color": ACCENT}
        )
