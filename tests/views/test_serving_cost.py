"""The pictures of cost and of cold starts show the model's numbers, at the exact places of kinks and steps."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.serving.cost.cold_start import cold_probability
from labkit.serving.cost.crossover import FleetCost, FunctionCost, crossings
from labkit.serving.cost.dedicated_cost import Capacity
from labkit.views.serving.cold_start_map import cold_start_map_figure, cold_start_map_layout
from labkit.views.serving.cost_over_requests import cost_over_requests_figure, cost_over_requests_layout

FUNCTION, FLEET = FunctionCost(1.0, 512), FleetCost("c5.large", Capacity(5, 0.65))


def test_line_and_staircase():
    layout = cost_over_requests_layout(FUNCTION, FLEET, (1e4, 1e8))
    assert layout.free_until == 800_000 and layout.free_ends == 1_000_000  # 400 000 GB-s of half a GB-s each; a million
    assert {800_000.0, 1_000_000.0} <= set(layout.requests.tolist())
    for at, usd in zip(layout.requests, layout.serverless_usd, strict=True):
        want = float(FUNCTION.usd(at))
        assert (usd == pytest.approx(want)) if want >= 0.01 else np.isnan(usd)
    width = FLEET.requests_an_instance
    assert layout.steps_at[1:-1].tolist() == [k * width for k in range(1, int(1e8 // width) + 1)]
    for at, usd in zip(layout.steps_at[:-1], layout.dedicated_usd, strict=False):
        assert usd == pytest.approx(float(FLEET.usd(at + 1)))
    assert list(layout.crossings) == [one for one in crossings(FUNCTION, FLEET) if one.num_requests <= 1e8]
    assert len(layout.crossings) == 13


def test_the_figure():
    figure = cost_over_requests_figure(FUNCTION, FLEET, (1e4, 1e8), now=3e6)
    names = [trace.name for trace in figure.data]
    assert names[0] == "function, 512 MB" and names[1] == "instances, c5.large"
    assert list(figure.data[2].x) == [one.num_requests for one in crossings(FUNCTION, FLEET)[:5]]
    assert list(figure.data[3].y) == pytest.approx([18.737, 62.05])
    assert "800,000" in figure.layout.annotations[0].text and "8,074,751" in figure.layout.title.text
    assert "13 times" in figure.layout.title.text
    assert figure.layout.shapes[0].x1 == 800_000
    paid = cost_over_requests_figure(FunctionCost(1.0, 512, provisioned=2, free_tier=False), FLEET)
    assert not paid.layout.annotations
    huge = cost_over_requests_figure(FunctionCost(0.1, 512), FleetCost("c5.large", Capacity(0.01)), (1e4, 1e10))
    assert "cheaper all along" in huge.layout.title.text and not huge.data[2].x


@pytest.mark.parametrize("span", [(0, 1e5), (1e5, 1e5), (1e5, 1e4), (float("nan"), 1), (1, float("inf"))])
def test_spans_that_do_not_rise(span):
    with pytest.raises(UsageError, match="rises"):
        cost_over_requests_layout(FUNCTION, FLEET, span)


def test_the_map_of_cold_starts():
    found = cold_start_map_layout(0.5, num=5)
    for column, rate in enumerate(found.rates_per_minute):
        for row, keep_alive_s in enumerate(found.keep_alives_s):
            want = cold_probability(rate / 60, keep_alive_s, 0.5)
            assert found.probabilities[row, column] == pytest.approx(want, abs=1e-9)
    figure = cold_start_map_figure(0.5, rate_per_s=2.0, keep_alive_s=60.0)
    assert figure.data[-1].x[0] == 120 and figure.data[-1].y[0] == 60
    assert not cold_start_map_figure(0.5).data[-1].x
