"""Times of collective algorithms over the message size: predicted for a network, measured on this machine."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets

from labkit.comm.network.model import Network
from labkit.comm.network.presets import PRESETS
from labkit.mpi.collectives.registry import OPERATIONS, family, find
from labkit.mpi.curves import SIZES_BYTES, size_curves, with_points
from labkit.mpi.measure import measure_collectives
from labkit.views.collective_times import collective_time_figure
from labkit.views.theme import bytes_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

RANKS = (2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
MAX_REAL_RANKS = 16
ALLREDUCES = (
    "allreduce_recursive_doubling", "allreduce_ring", "allreduce_rabenseifner", "allreduce_reduce_broadcast",
    "allreduce_swing",
)
STYLE = {"description_width": "initial"}
RUN, STOP = "Run on real ranks", "Stop"


class CollectiveTimes(widgets.VBox):
    """Choose an operation, algorithms, ranks, a network and sizes: see who is fastest where, and measure it here.

    Parameters
    ----------
    operation : str
        Any but the barrier, which has no size.
    num_ranks : int
        One of 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, ... 1024.
    networks : mapping of str to Network
        To choose from; for example ``{"mine": fitted} | PRESETS``.
    run : callable
        ``run(names, num_ranks, sizes_bytes) -> {name: [(bytes, seconds), ...]}``: what the button does, one size
        after the other. By default MPI ranks of this machine.
    max_real_ranks : int

    Attributes
    ----------
    operation, network : ipywidgets.Dropdown
    algorithms : ipywidgets.SelectMultiple
    num_ranks : ipywidgets.SelectionSlider
    sizes : ipywidgets.SelectionRangeSlider
        In bytes.
    button : ipywidgets.Button
        *Run on real ranks*; while it runs, *Stop*.
    progress : ipywidgets.IntProgress
    status : ipywidgets.HTML
        What is going on, or what went wrong.
    figure : FigureWidget
    measured : dict
        ``{(num_ranks, name): {bytes: seconds}}``; kept when other things are looked at.
    """

    def __init__(
        self, operation: str = "allreduce", num_ranks: int = 4, *, networks: Mapping[str, Network] = PRESETS,
        run: Callable[[Sequence[str], int, Sequence[float]], dict] = measure_collectives, max_real_ranks: int = MAX_REAL_RANKS,
    ):
        self.networks, self._run, self.max_real_ranks = dict(networks), run, max_real_ranks
        self.measured: dict[tuple[int, str], dict[float, float]] = {}
        self._lock, self._stop, self._thread = threading.RLock(), threading.Event(), None
        self._changing = False
        names = [algorithm.name for algorithm in family(operation)]
        self.operation = widgets.Dropdown(
            options=[o for o in OPERATIONS if o != "barrier"], value=operation, description="operation", style=STYLE
        )
        self.algorithms = widgets.SelectMultiple(
            options=names, value=_first_choice(names), description="algorithms", rows=8, style=STYLE, layout={"width": "360px"}
        )
        self.num_ranks = widgets.SelectionSlider(options=RANKS, value=num_ranks, description="ranks", style=STYLE)
        self.network = widgets.Dropdown(options=list(self.networks), description="network", style=STYLE)
        self.sizes = widgets.SelectionRangeSlider(
            options=[(bytes_text(size), size) for size in SIZES_BYTES], value=(SIZES_BYTES[0], SIZES_BYTES[-1]),
            description="sizes", style=STYLE, layout={"width": "360px"},
        )
        self.button = widgets.Button(
            description=RUN, icon="play", tooltip="Measure the chosen algorithms on this machine",
            layout={"width": "180px"},
        )
        self.progress = widgets.IntProgress(value=0, max=1, layout={"visibility": "hidden", "width": "160px"})
        self.status = widgets.HTML("")
        self.figure = FigureWidget(self._figure())
        self.operation.observe(self._on_operation, "value")
        for control in (self.algorithms, self.num_ranks, self.network, self.sizes):
            control.observe(self._on_change, "value")
        self.button.on_click(self._on_button)
        choices = widgets.VBox([self.operation, self.network, self.num_ranks, self.sizes])
        super().__init__([
            widgets.HBox([choices, self.algorithms]), widgets.HBox([self.button, self.progress, self.status]), self.figure,
        ])

    # -- the picture --------------------------------------------------------------------------------

    def sizes_bytes(self) -> list[int]:
        """The sizes in the chosen range."""
        first, last = self.sizes.value
        return [size for size in SIZES_BYTES if first <= size <= last]

    def _figure(self):
        names, p, network = self.algorithms.value, self.num_ranks.value, self.networks[self.network.value]
        points = {name: list(self.measured.get((p, name), {}).items()) for name in names}
        curves = with_points(size_curves(names, p, network, self.sizes_bytes()), points)
        title = f"<b>{self.operation.value}</b> on {p} ranks; lines: {self.network.value}"
        return collective_time_figure(curves, title=title + ("; points: this machine" if any(points.values()) else ""))

    def _draw(self) -> None:
        with self._lock:  # the controls and the measurement both draw
            replace_figure(self.figure, self._figure())

    def _on_operation(self, change) -> None:
        self._changing = True
        names = [algorithm.name for algorithm in family(change["new"])]
        self.algorithms.options = names
        self.algorithms.value = _first_choice(names)
        self._changing = False
        self._forget_status()
        self._draw()

    def _on_change(self, change) -> None:
        if not self._changing:
            self._forget_status()
            self._draw()

    def _forget_status(self) -> None:
        """What the status says is about the choice before; a measurement that goes on still speaks."""
        if self._thread is None or not self._thread.is_alive():
            self.status.value = ""

    # -- the measurement ----------------------------------------------------------------------------

    def _on_button(self, button) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._stop.set()
            self.status.value = "Stopping after this size."
            return
        names, p, sizes = self.algorithms.value, self.num_ranks.value, self.sizes_bytes()
        if not names:
            self.status.value = "Choose an algorithm to measure."
            return
        if p > self.max_real_ranks:
            self.status.value = (
                f"{p} ranks are more than are started here at once: choose {self.max_real_ranks} or fewer."
            )
            return
        self._stop.clear()
        self.button.description, self.button.icon = STOP, "stop"
        self.progress.max, self.progress.value, self.progress.layout.visibility = len(sizes), 0, "visible"
        self._thread = threading.Thread(target=self._measure, args=(names, p, sizes), daemon=True)
        self._thread.start()

    def _measure(self, names, p: int, sizes) -> None:
        """In a thread of its own, so that the controls stay alive: one size after the other."""
        done, problem = 0, ""
        try:
            for size in sizes:
                if self._stop.is_set():
                    break
                self.status.value = f"{p} ranks, {bytes_text(size)} ({done + 1} of {len(sizes)} sizes)"
                for name, points in self._run(names, p, [size]).items():
                    self.measured.setdefault((p, name), {}).update(points)
                done += 1
                self.progress.value = done
                self._draw()
        except Exception as error:  # whatever it is, it belongs on the page, and the button works again
            problem = f"<b>It could not be measured:</b> {html.escape(str(error) or type(error).__name__)}"
        finally:
            self.button.description, self.button.icon = RUN, "play"
            self.progress.layout.visibility = "hidden"
            self.status.value = problem or _summary(len(names), p, done)

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the measurement has ended, or after ``timeout_s``."""
        if self._thread is not None:
            self._thread.join(timeout_s)


def _summary(num_algorithms: int, p: int, num_sizes: int) -> str:
    def counted(number, word):
        return f"{number} {word}{'' if number == 1 else 's'}"

    words = f"Measured {counted(num_algorithms, 'algorithm')} at {counted(num_sizes, 'size')} on {p} ranks."
    if p > _num_cores():
        words += f" They share {counted(_num_cores(), 'core')}, so the times are those of waiting for a core."
    return words


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_choice(names: Sequence[str]) -> tuple[str, ...]:
    """Which algorithms are chosen at first: no more than five that have a prediction; of all-reduces the best known."""
    if set(ALLREDUCES) <= set(names):
        return ALLREDUCES
    return tuple(name for name in names if not find(name).needs_shared_memory)[:5]
