"""Loop schedules to play with: who executes which iterations, when, and what it costs."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.openmp.profiles import PROFILES, cost_profile
from labkit.openmp.schedule import KINDS, Schedule
from labkit.openmp.simulate import ScheduleRun, simulate_schedule
from labkit.views.openmp_schedule import schedule_gantt_figure, schedule_map_figure
from labkit.views.theme import time_text
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure
from labkit.widgets.schedule_on_threads import Plan, ScheduleOnThreads

MOST_THREADS = 64
ITERATIONS = (16, 64, 256, 1_000, 4_000, 16_000, 64_000)
DEFAULT = 0  # of the slider: no chunk size is given
CHUNK_SIZES = (DEFAULT, *(2**k for k in range(13)))
CHUNK_COSTS_S = (0.0, 1e-7, 3e-7, 1e-6, 3e-6, 1e-5)
MEAN_COST_S = 1e-5  # of an iteration
STYLE = {"description_width": "initial"}


class ScheduleExplorer(widgets.VBox):
    """Choose a schedule, threads and what iterations cost: see the map, the Gantt chart and the numbers.

    *Run on real threads* runs the same plan with the same costs on this machine, and draws it below.

    Parameters
    ----------
    schedule : str or Schedule
        To begin with; its chunk size is none or a power of 2 up to 4096.
    num_threads : int
        1 to 64.
    num_iterations : int
        One of 16, 64, 256, 1000, 4000, 16 000, 64 000.
    profile : str
        What iterations cost: ``even``, ``linear``, ``random`` or ``mandelbrot``; 10 µs each on average.

    Attributes
    ----------
    kind, profile, num_iterations : ipywidgets.Dropdown
    chunk_size, chunk_cost : ipywidgets.SelectionSlider
        Chunk size 0 is the schedule's default; the cost of taking a chunk is in s.
    num_threads : ipywidgets.IntSlider
    numbers : ipywidgets.HTML
        Time, speed-up, load imbalance, idle time, overhead; and the lower bounds of the time.
    map, gantt : FigureWidget
    run : ScheduleRun
        What is shown.
    on_threads : ScheduleOnThreads
        The button, and what was measured with the present choice.

    Raises
    ------
    UsageError
        A value that its control does not have.

    Examples
    --------
    >>> explorer = ScheduleExplorer("static", num_threads=4, num_iterations=256, profile="linear")
    >>> explorer.gantt.layout.title.text
    '1.12 ms: speed-up 2.29 on 4 threads; load imbalance 75 %, idle 43 %, taking chunks 0 %'
    >>> explorer.kind.value = "dynamic"
    >>> explorer.gantt.layout.title.text
    '654 µs: speed-up 3.92 on 4 threads; load imbalance 1 %, idle 1 %, taking chunks 1 %'
    """

    def __init__(
        self, schedule: str | Schedule = "static", num_threads: int = 8, *, num_iterations: int = 256,
        profile: str = "mandelbrot",
    ):  # fmt: skip
        schedule = Schedule.parse(schedule)
        _check("chunk_size", schedule.chunk_size or DEFAULT, CHUNK_SIZES)
        _check("num_threads", num_threads, range(1, MOST_THREADS + 1))
        _check("num_iterations", num_iterations, ITERATIONS)
        _check("profile", profile, PROFILES)
        self.kind = widgets.Dropdown(options=KINDS, value=schedule.kind, description="schedule", style=STYLE)
        self.chunk_size = widgets.SelectionSlider(
            options=[("default" if k == DEFAULT else f"{k:,}", k) for k in CHUNK_SIZES],
            value=schedule.chunk_size or DEFAULT, description="chunk size", style=STYLE, disabled=schedule.kind == "auto", continuous_update=False,
        )
        self.num_threads = widgets.IntSlider(
            value=num_threads, min=1, max=MOST_THREADS, description="threads", continuous_update=False, style=STYLE
        )
        self.profile = widgets.Dropdown(options=PROFILES, value=profile, description="cost of iterations", style=STYLE)
        self.num_iterations = widgets.Dropdown(
            options=[(f"{n:,}", n) for n in ITERATIONS], value=num_iterations, description="iterations", style=STYLE
        )
        self.chunk_cost = widgets.SelectionSlider(
            options=[(time_text(seconds * 1e9), seconds) for seconds in CHUNK_COSTS_S], value=1e-7,
            description="taking a chunk", style=STYLE, continuous_update=False,
        )
        self.run, words = self._simulate()
        self.numbers = widgets.HTML(words)
        self.map = FigureWidget(schedule_map_figure(self.run))
        self.gantt = FigureWidget(schedule_gantt_figure(self.run))
        self.on_threads = ScheduleOnThreads(self._plan, locked=self.controls)
        for control in self.controls:
            control.observe(self._on_change, "value")
        super().__init__([
            widgets.HBox([self.kind, self.chunk_size, self.num_threads]),
            widgets.HBox([self.profile, self.num_iterations, self.chunk_cost]), self.numbers, self.map, self.gantt,
            self.on_threads,
        ])  # fmt: skip

    @property
    def controls(self) -> tuple[widgets.Widget, ...]:
        return (self.kind, self.chunk_size, self.num_threads, self.profile, self.num_iterations, self.chunk_cost)

    @property
    def schedule(self) -> Schedule:
        """The schedule that is chosen; ``auto`` has no chunk size."""
        return Schedule(self.kind.value, None if self.kind.value == "auto" else self.chunk_size.value or None)

    def _simulate(self) -> tuple[ScheduleRun, str]:
        """The run that the controls ask for, and its numbers in words."""
        costs_s = cost_profile(self.profile.value, self.num_iterations.value, MEAN_COST_S)
        run = simulate_schedule(self.schedule, costs_s, self.num_threads.value, chunk_s=self.chunk_cost.value)
        return run, _words(run, costs_s)

    def _plan(self) -> Plan:
        costs_s = cost_profile(self.profile.value, self.num_iterations.value, MEAN_COST_S)
        return Plan(self.schedule, costs_s, self.run)

    def _on_change(self, change) -> None:
        self.on_threads.forget()
        self.chunk_size.disabled = self.kind.value == "auto"
        self.run, self.numbers.value = self._simulate()
        replace_figure(self.map, schedule_map_figure(self.run))
        replace_figure(self.gantt, schedule_gantt_figure(self.run))


def _check(name: str, value, choices) -> None:
    if value not in choices:
        words = f"{choices[0]} to {choices[-1]}" if isinstance(choices, range) else ", ".join(map(str, choices))
        raise UsageError(f"ScheduleExplorer: {name} is one of {words}, not {value!r}: pass one of them.")


def _words(run: ScheduleRun, costs_s) -> str:
    """What no schedule can beat, and how many iterations the threads got."""
    even_s, longest_s = costs_s.sum() / run.num_threads, costs_s.max()
    bound = "the longest iteration" if longest_s > even_s else "all work divided evenly"
    counts = run.iterations_of_threads
    return (
        f"No schedule takes less than <b>{time_text(1e9 * max(even_s, longest_s))}</b> ({bound}); this one takes "
        f"<b>{time_text(1e9 * run.duration_s)}</b>. Load imbalance <b>{run.load_imbalance:.2f}</b>, efficiency "
        f"<b>{run.efficiency:.0%}</b>, {run.num_chunks:,} chunks; a thread executes {counts.min():,} to "
        f"{counts.max():,} iterations."
    )
