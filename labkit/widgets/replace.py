"""Showing another figure in a figure widget that is on the page already."""

from __future__ import annotations

import plotly.graph_objects as go

from labkit.widgets.figure_widget import FigureWidget


def replace_figure(widget: FigureWidget, figure: go.Figure) -> None:
    """Let the widget show ``figure`` from now on.

    With traces of the same kinds as before, only their values travel, and the picture does not flicker. Else
    the whole figure is sent: to delete some traces and add others goes wrong on the page when two such
    changes follow each other quickly, for the second then names traces that the page does not have yet.
    From then on it is always sent whole: plotly's model on the page still counts the traces of the first figure,
    and changes of single traces would be refused there, or go to the wrong ones.
    """
    with widget.turn:
        _replace(widget, figure)


def _replace(widget: FigureWidget, figure: go.Figure) -> None:
    same_kinds = [trace.type for trace in widget.data] == [trace.type for trace in figure.data]
    if same_kinds and not widget._was_sent_again:
        with widget.batch_update():
            for shown, wanted in zip(widget.data, figure.data, strict=True):
                shown.update(_changes(shown, wanted), overwrite=True)
            widget.layout.update(_changes(widget.layout, figure.layout), overwrite=True)
        return
    widget._was_sent_again = widget.comm is not None  # a page that has not seen it yet begins with this one
    with widget.hold_sync():  # the single changes are not sent,
        widget.data = ()
        widget.add_traces(figure.data)
        widget.layout = figure.layout
        widget._take_state()  # but what they come to


def _changes(shown, wanted) -> dict:
    """All that is wanted, and None for what was there and is wanted no more."""
    before, after = shown.to_plotly_json(), wanted.to_plotly_json()
    gone = {key: None for key in before if key not in after}
    changes = {key: value for key, value in after.items() if key not in before or not _equal(before[key], value)}
    return {key: value for key, value in (gone | changes).items() if key not in ("type", "uid")}


def _equal(one, other) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays
        return False
