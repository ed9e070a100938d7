"""What has been published: Horovod's efficiencies, ZeRO's table, the noise of synchronous steps."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.scale.bsp import bsp_step_s, harmonic_number, simulate_bsp
from labkit.training.scale.horovod import (
    NOISES,
    SHARES,
    fit_constants,
    horovod_step,
    leave_one_out,
    resnet50_on_128,
)
from labkit.training.scale.zero_table import GIGABYTE, zero_memory, zero_table, zero_traffic

HOROVOD = {"inception_v3": 0.90, "resnet101": 0.90, "vgg16": 0.68}  # arXiv 1802.05799, figure 6


def test_horovods_efficiencies_on_512_gpus_with_two_constants():
    fit = fit_constants()
    for model, published in HOROVOD.items():
        assert abs(fit.efficiencies[model] - published) < 0.03, model
        step = horovod_step(model, 512, line_share=fit.line_share, noise=fit.noise)
        assert step.efficiency == fit.efficiencies[model]  # the table of the fit is the model
    assert SHARES[0] < fit.line_share < SHARES[-1] and NOISES[0] < fit.noise < NOISES[-1]  # found, not at the edge
    # On one GPU nothing is lost, on one server little, and a line four times as fast helps VGG-16 most.
    assert horovod_step("vgg16", 1, line_share=fit.line_share, noise=fit.noise).efficiency == 1
    assert horovod_step("vgg16", 4, line_share=fit.line_share, noise=0.0).efficiency > 0.95


def test_what_two_models_say_of_the_third():
    predictions = {p.model: p for p in leave_one_out()}
    for model in ("inception_v3", "resnet101"):
        p = predictions[model]
        assert p.is_determined and abs(p.best - HOROVOD[model]) < 0.03 and p.low <= p.best <= p.high
    vgg = predictions["vgg16"]
    assert not vgg.is_determined and vgg.low < HOROVOD["vgg16"] < vgg.high


def test_the_example_of_128_gpus():
    fit = fit_constants()
    step = resnet50_on_128(fit)
    larger = horovod_step("resnet50", 512, line_share=fit.line_share, noise=fit.noise)
    assert step.num_ranks == 128 and larger.efficiency < step.efficiency < 1
    assert step.step_s == pytest.approx(64 / 219 / step.efficiency)


@pytest.mark.parametrize("num_ranks, stages", [(1, (120, 120, 120)), (4, (52.5, 41.3, 30)), (64, (31.4, 16.6, 1.88))])
def test_zeros_table_of_7_5_billion_parameters(num_ranks, stages):
    for stage, gigabytes in zip((1, 2, 3), stages, strict=True):
        row = zero_memory(7.5e9, num_ranks, stage)
        assert row.total_bytes / GIGABYTE == pytest.approx(gigabytes, rel=3e-3)
    assert zero_memory(7.5e9, num_ranks, 0).total_bytes == 120 * GIGABYTE


def test_zeros_formulas():
    psi, n = 10**6, 16
    totals = [row.total_bytes for row in zero_table(psi, [n])]
    assert totals == [4 * psi + 12 * psi / n, 2 * psi + 14 * psi / n, 16 * psi / n]
    row = zero_memory(psi, n, 2)
    assert (row.parameters_bytes, row.gradients_bytes, row.optimizer_bytes) == (2 * psi, 2 * psi / n, 12 * psi / n)
    assert [zero_traffic(psi, stage) for stage in (1, 2, 3)] == [2 * psi, 2 * psi, 3 * psi]
    single = zero_memory(psi, n, 1, parameter_bytes=4, gradient_bytes=4, optimizer_bytes=8)  # Adam in 32 bits
    assert single.total_bytes == 8 * psi + 8 * psi / n
    for wrong in (lambda: zero_memory(psi, n, 4), lambda: zero_memory(psi, 0, 1), lambda: zero_memory(0, 1, 1),
                  lambda: zero_traffic(psi, -1)):
        with pytest.raises(UsageError):
            wrong()


@pytest.mark.parametrize("num_workers", [1, 2, 8, 64, 512])
@pytest.mark.parametrize("t0_s, mu_s", [(1.0, 0.1), (0.1, 1.0)])
def test_synchronous_steps_wait_for_the_slowest(num_workers, t0_s, mu_s):
    times = simulate_bsp(num_workers, t0_s, mu_s, 50_000, seed=num_workers)
    assert times.mean() == pytest.approx(t0_s + mu_s * sum(1 / k for k in range(1, num_workers + 1)), rel=0.01)
    assert bsp_step_s(num_workers, t0_s, mu_s) == pytest.approx(times.mean(), rel=0.01)
    # The variance of the longest of P exponential times is mu^2 times the sum of 1/k^2.
    assert times.var() == pytest.approx(mu_s**2 * sum(1 / k**2 for k in range(1, num_workers + 1)), rel=0.06)


def test_noise_is_a_matter_of_the_seed():
    one, again, other = (simulate_bsp(4, 1.0, 0.5, 100, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other) and one.min() > 1
    assert harmonic_number(4096) == pytest.approx(math.log(4096) + 0.5772157 + 1 / 8192, abs=1e-7)
    for wrong in (lambda: harmonic_number(0), lambda: simulate_bsp(2, 1.0, -1.0, 5), lambda: simulate_bsp(2, 1.0, 1.0, 0)):
        with pytest.raises(UsageError):
            wrong()
