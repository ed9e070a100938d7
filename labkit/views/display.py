"""Figures as display bundles."""

from __future__ import annotations

import json

import plotly.graph_objects as go

MIME_TYPE = "application/vnd.plotly.v1+json"


def figure_bundle(figure: go.Figure) -> dict:
    """The display bundle of a figure: its data alone.

    JupyterLab draws it with the extension that plotly installs, which a page loads once; so
    nothing but the numbers travels with each figure.
    """
    data = json.loads(figure.to_json())
    data["config"] = {"displaylogo": False, "responsive": True}
    title = figure.layout.title.text or "figure"
    return {MIME_TYPE: data, "text/plain": f"<figure: {title}>"}
