"""The traffic slider: how much traffic of which kind, and what a function and a fleet of instances cost for it."""

from __future__ import annotations

import math

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from labkit.serving.cost.cold_start import cold_probability
from labkit.serving.cost.crossover import FleetCost, FunctionCost, crossings
from labkit.serving.cost.dedicated_cost import Capacity
from labkit.serving.cost.prices import INSTANCES, MONTH_S
from labkit.serving.cost.run import ServerlessRun
from labkit.serving.cost.serverless import Function, simulate_serverless
from labkit.serving.cost.times import Times
from labkit.serving.load.arrivals import bursty, poisson
from labkit.views.serving.cost_over_requests import cost_over_requests_figure
from labkit.views.theme import SERIES, base_layout
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "150px"}
WIDE = {"width": "440px"}
MEMORIES = (128, 256, 512, 1024, 1769, 3008, 5120, 10240)
BURSTINESS = ((1, 1.0), (2, 2.0), (5, 5.0), (10, 10.0), (20, 20.0))
UTILISATION = 0.6
NUM_SIMULATED, MOST_SIMULATED = 20_000, 400_000
BURST_S, NUM_BURSTS = 60.0, 40
SPAN = (1e4, 1e10)


def _slider(label: str, value: float, least: float, most: float, readout: str = ".3g") -> widgets.FloatLogSlider:
    return widgets.FloatLogSlider(
        value=value, base=10, min=math.log10(least), max=math.log10(most), step=0.02, description=label, style=STYLE,
        layout=WIDE, continuous_update=False, readout_format=readout,
    )  # fmt: skip


class TrafficSlider(widgets.VBox):
    """Move the traffic; see which is cheaper and why, how often it is cold, and how many environments are at work.

    The instances are planned for 60 % utilisation at the busiest time, which has ``burstiness`` times the mean rate; one
    answers as many requests at once as it has vCPUs, times what batching gains. Traffic beyond a burstiness of 1 comes
    in bursts of about a minute, with silence between (shorter ones where a stretch of at most 400 000 requests, which is
    what is simulated, is too short for forty).

    Attributes
    ----------
    requests, duration, memory, cold_start, keep_alive, burstiness, instance, batching : ipywidgets
        Requests a month; ms; MB; s; s; busiest over mean; name; speed-up.
    sentence : ipywidgets.HTML
    cost_figure, concurrency_figure : FigureWidget
    """

    def __init__(self, requests: float = 3_000_000):
        self.requests = _slider("requests a month", min(max(requests, SPAN[0]), SPAN[1]), *SPAN, readout=".3s")
        self.duration = _slider("duration, ms", 100, 1, 10_000)
        self.memory = widgets.SelectionSlider(
            options=MEMORIES, value=512, description="memory, MB", style=STYLE, layout=WIDE, continuous_update=False
        )
        self.cold_start = _slider("a cold start takes, s", 1, 0.05, 20)
        self.keep_alive = _slider("keep-alive, s", 300, 1, 3600)
        self.burstiness = widgets.SelectionSlider(
            options=BURSTINESS, value=1.0, description="busiest over mean", style=STYLE, layout=WIDE, continuous_update=False
        )
        self.instance = widgets.Dropdown(
            options=[(f"{one.name}, {one.usd_per_hour} USD/h", one.name) for one in INSTANCES.values()], value="c5.large",
            description="instance", style=STYLE, layout=WIDE,
        )
        self.batching = _slider("batching gains, times", 3.4, 1, 32)
        self.sentence = widgets.HTML("")
        self.run: ServerlessRun | None = None
        cost, concurrency = self._figures()
        self.cost_figure, self.concurrency_figure = FigureWidget(cost), FigureWidget(concurrency)
        for control in self.controls:
            control.observe(self._on_change, "value")
        row = {"flex_flow": "row wrap"}
        super().__init__([
            widgets.HBox([self.requests, self.burstiness, self.duration, self.memory], layout=row),
            widgets.HBox([self.cold_start, self.keep_alive, self.instance, self.batching], layout=row),
            self.sentence, self.cost_figure, self.concurrency_figure,
        ])  # fmt: skip

    @property
    def controls(self) -> tuple[widgets.Widget, ...]:
        return (
            self.requests, self.burstiness, self.duration, self.memory, self.cold_start, self.keep_alive, self.instance,
            self.batching,
        )  # fmt: skip

    @property
    def rate_per_s(self) -> float:
        """Mean over the month."""
        return self.requests.value / MONTH_S

    @property
    def duration_s(self) -> float:
        return self.duration.value / 1000

    def function_cost(self, cold_fraction: float) -> FunctionCost:
        return FunctionCost(self.duration_s, self.memory.value, min(cold_fraction, 1.0), self.cold_start.value)

    def fleet_cost(self) -> FleetCost:
        instance = INSTANCES[self.instance.value]
        rate = instance.num_vcpus * self.batching.value / self.duration_s
        return FleetCost(instance, Capacity(rate, UTILISATION, self.burstiness.value))

    def simulate(self) -> ServerlessRun:
        """A stretch of this traffic through the function's environments, with the same seed every time."""
        rate = self.rate_per_s
        cycle_s = BURST_S * self.burstiness.value
        wanted_s = max(NUM_SIMULATED / rate, 4 * self.duration_s, 3 * self.keep_alive.value, NUM_BURSTS * cycle_s)
        length_s = min(wanted_s, MOST_SIMULATED / rate)
        if self.burstiness.value > 1:
            burst_s = BURST_S * min(1.0, length_s / (NUM_BURSTS * cycle_s))  # a short stretch has shorter bursts
            times = bursty(rate, length_s, 1, burstiness=self.burstiness.value, burst_s=burst_s)
        else:
            times = poisson(rate, length_s, 1)
        if not times.size:
            times = np.array([length_s])
        function = Function(
            Times(self.duration_s, 1), self.cold_start.value, self.memory.value, self.keep_alive.value
        )
        return simulate_serverless(times, function, period_s=length_s, seed=1, num_bins=200)

    def _figures(self):
        """Both figures; the sentence is set too."""
        self.run = run = self.simulate()
        half = run.num_requests // 2  # it begins with no environment at all
        answered = ~np.isnan(run.latency_s[half:])
        cold = np.count_nonzero(run.is_cold[half:]) / max(np.count_nonzero(answered), 1)
        function, fleet = self.function_cost(cold), self.fleet_cost()
        self.sentence.value = f"{self._verdict(function, fleet)}<br>{self._cold_words(cold, run)}"
        return cost_over_requests_figure(function, fleet, SPAN, now=self.requests.value), _concurrency_figure(run)

    def _verdict(self, function: FunctionCost, fleet: FleetCost) -> str:
        num = round(self.requests.value)
        one, other = float(function.usd(num)), float(fleet.usd(num))
        instances = fleet.num_instances(num)
        fleet_name = f"{instances} x {fleet.instance.name}"
        planned = num / (instances * fleet.requests_an_instance)
        million = 1e6 * float(function.usd_a_request)
        if one < other:
            if one < 0.005:
                why = "the free tier covers all of it, and an instance is paid whether anybody asks or not"
            elif planned > 0.5:
                why = (
                    f"although the fleet is well used, {planned:.0%} of what it is planned for, its requests cost "
                    f"{1e6 * other / num:,.2f} USD a million and the function's {million:,.2f}, and only when they come"
                )
            else:
                why = (
                    f"an instance is paid all month, and this traffic uses {planned:.1%} of what the fleet is planned for; the "
                    f"function costs {million:,.2f} USD a million requests, and nothing between them"
                )
            head = f"the <b>function is cheaper</b>: {one:,.2f} USD a month against {other:,.2f} USD for {fleet_name}"
        else:
            why = (
                f"the fleet is used to {planned:.0%} of what it is planned for, which makes {1e6 * other / num:,.2f} USD a million "
                f"requests; the function takes {million:,.2f} USD for each million beyond the free tier"
            )
            head = f"the <b>instances are cheaper</b>: {fleet_name} for {other:,.2f} USD a month against {one:,.2f} USD"
        found = [crossing for crossing in crossings(function, fleet, most=200) if crossing.num_requests > num]
        following = (
            f" From {found[0].num_requests:,.0f} requests a month on, the "
            f"{'instances are' if found[0].cheaper == 'dedicated' else 'function is'} cheaper." if found else ""
        )
        return f"At {num:,} requests a month {head}. Why: {why}.{following}"

    def _cold_words(self, cold: float, run: ServerlessRun) -> str:
        formula = cold_probability(self.rate_per_s, self.keep_alive.value, self.duration_s)
        load = self.rate_per_s * self.duration_s
        refused = (
            f" <b>{run.refused_fraction:.1%} are refused</b>: an account has {run.function.concurrency:,} environments at first."
            if run.num_refused else ""
        )
        size, name = _unit(run.period_s)
        length = f"{run.period_s / size:,.3g} {name}" if run.period_s < 1000 * size else f"{run.period_s / size:,.0f} {name}"
        return (
            f"Cold: <b>{cold:.3%}</b> of the requests, simulated (formula without bursts: {formula:.3%}); such a one waits "
            f"{self.cold_start.value:.3g} s more. At work at once: {load:,.3g} on average, at most <b>{run.most_busy:,}</b> in the "
            f"{length} that were simulated.{refused}"
        )

    def _on_change(self, change) -> None:
        cost, concurrency = self._figures()
        replace_figure(self.cost_figure, cost)
        replace_figure(self.concurrency_figure, concurrency)


def _unit(seconds: float) -> tuple[float, str]:
    """Seconds in the unit that suits, and its name."""
    return (3600.0, "h") if seconds > 7200 else (60.0, "min") if seconds > 120 else (1.0, "s")


def _concurrency_figure(run: ServerlessRun) -> go.Figure:
    """Environments that live, and those at work, over the simulated stretch."""
    unit, name = _unit(run.period_s)
    figure = go.Figure(layout=base_layout("Environments in a simulated stretch of this traffic", 280))
    at = run.bins_s / unit
    series = (("alive", run.environments, SERIES[5], 1.5), ("at work, at most", run.peak_busy, SERIES[1], 1),
              ("at work, on average", run.busy, SERIES[0], 2))  # fmt: skip
    for label, values, colour, line_width in series:
        figure.add_trace(go.Scatter(
            name=label, x=at, y=values, mode="lines", line={"color": colour, "width": line_width, "shape": "hv"},
            hovertemplate=f"%{{x:.3g}} {name}: %{{y:.3g}} {label}<extra></extra>",
        ))  # fmt: skip
    figure.update_layout(
        xaxis={"title": {"text": name}}, yaxis={"title": {"text": "environments"}, "rangemode": "tozero"}, margin={"t": 76}
    )
    return figure
