"""The traffic slider says what the model says, for quiet traffic, for much, and for bursts."""

import numpy as np
import pytest

from labkit.serving.cost.cold_start import cold_probability
from labkit.serving.cost.crossover import cheaper
from labkit.widgets.serving import TrafficSlider


@pytest.fixture(scope="module")
def slider():
    return TrafficSlider()


def set_to(slider, **values):
    for name, value in values.items():
        getattr(slider, name).value = value


def test_it_follows_its_controls(slider):
    set_to(slider, requests=3e6, duration=1000, memory=512, cold_start=1, keep_alive=300, burstiness=1.0, instance="c5.large")
    assert "At 3,000,000 requests a month" in slider.sentence.value and "function is cheaper" in slider.sentence.value
    assert "against 62.05 USD for 1 x c5.large" in slider.sentence.value and "18.7" in slider.sentence.value
    assert list(slider.cost_figure.data[3].x) == pytest.approx([3e6, 3e6])
    set_to(slider, requests=3e7)
    fleet = slider.fleet_cost()
    assert cheaper(slider.function_cost(0.0), fleet, 3e7) == "dedicated"
    assert "instances are cheaper" in slider.sentence.value and f"{fleet.num_instances(3e7)} x c5.large" in slider.sentence.value
    set_to(slider, instance="t3.micro")
    assert "t3.micro" in slider.sentence.value and slider.cost_figure.data[1].name == "instances, t3.micro"
    before = float(slider.cost_figure.data[0].y[-1])
    set_to(slider, memory=1024)
    assert float(slider.cost_figure.data[0].y[-1]) == pytest.approx(2 * before, rel=0.05)
    assert np.nanmax(slider.concurrency_figure.data[1].y) == slider.run.most_busy


def test_simulation_and_formula_agree_on_quiet_traffic(slider):
    set_to(slider, requests=2e4, duration=100, keep_alive=100, burstiness=1.0)
    want = cold_probability(slider.rate_per_s, 100, 0.1)
    assert 0.3 < want < 0.6 and slider.run.cold_fraction == pytest.approx(want, rel=0.05)
    assert f"{want:.3%}" in slider.sentence.value
    set_to(slider, keep_alive=10)
    assert slider.run.cold_fraction > want


def test_bursts_need_more_environments_and_more_instances(slider):
    set_to(slider, requests=1e8, duration=100, keep_alive=300, burstiness=1.0, instance="c5.large")
    calm, fleet = slider.run.most_busy, slider.fleet_cost().num_instances(1e8)
    set_to(slider, burstiness=20.0)
    assert slider.run.most_busy > 3 * calm and slider.fleet_cost().num_instances(1e8) > 15 * fleet


@pytest.mark.parametrize("requests, duration, burstiness", [(1e4, 1, 20.0), (1e10, 10_000, 20.0), (1e10, 1, 1.0), (1e4, 10_000, 1.0)])
def test_the_corners(slider, requests, duration, burstiness):
    set_to(slider, requests=requests, duration=duration, burstiness=burstiness)
    assert "cheaper" in slider.sentence.value and "nan" not in slider.sentence.value
    if requests * duration > 1e13:
        assert "are refused" in slider.sentence.value
