"""The map of the selected cluster on the page."""

from __future__ import annotations

import contextlib

import ipywidgets as widgets

from labkit.cluster.activity import ask_num_cpus, is_busy
from labkit.cluster.engines import Engines
from labkit.views.cluster_map import MapNode, cluster_map_figure
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure


class ClusterMap(widgets.VBox):
    """Nodes and ranks; nothing where there are none.

    Attributes
    ----------
    nodes : tuple of MapNode
        What is shown.
    figure : FigureWidget
    """

    def __init__(self):
        self.nodes: tuple[MapNode, ...] = ()
        self.figure = _new_figure(())
        super().__init__([], layout={"max_width": "860px"})

    def show(self, nodes: tuple[MapNode, ...]) -> None:
        """Show these nodes from now on."""
        if nodes == self.nodes:
            return
        before, self.nodes = self.nodes, nodes
        if nodes and _places(nodes) == _places(before):  # the same boxes in other colours
            replace_figure(self.figure, cluster_map_figure(nodes))
            self.figure.refresh_for_late_pages()
            return
        old, self.figure = self.figure, _new_figure(nodes)
        self.children = (self.figure,) if nodes else ()
        old.close()


class CPUCounts:
    """How many CPUs each node of a set of engines has; asked once, when its ranks are idle."""

    def __init__(self):
        self._ranks: tuple = ()
        self._asked: dict = {}

    def of(self, engines: Engines) -> dict[str, int]:
        """What the nodes have answered so far, by host."""
        ranks = tuple(engines.ranks)
        if ranks != self._ranks:
            if is_busy(engines):
                return {}
            self._ranks, self._asked = ranks, ask_num_cpus(engines)
        found = {}
        for host, result in self._asked.items():
            with contextlib.suppress(Exception):  # a rank that died
                if result.ready():
                    found[host] = result.get(timeout=0)
        return found


def _new_figure(nodes: tuple[MapNode, ...]) -> FigureWidget:
    figure = FigureWidget(cluster_map_figure(nodes))
    figure._config = {"displayModeBar": False, "responsive": True}
    return figure


def _places(nodes: tuple[MapNode, ...]) -> list:
    return [(node.name, [rank.rank for rank in node.ranks]) for node in nodes]
