"""More threads than cores: work is shared and counted right, barriers hold, processes end."""

import numpy as np
import psutil
import pytest
from numba import njit

from labkit.errors import NotAvailableError, UsageError
from labkit.openmp.experiments import layers
from labkit.openmp.experiments.compiled.phases import AT_ONCE, patient_barrier
from labkit.openmp.experiments.compiled.work import spend, spend_iterations, steps_of, steps_per_second
from labkit.openmp.experiments.layers import Layers, LayersReport, layers_report
from labkit.openmp.experiments.oversubscription import WAYS, OversubscriptionCurve, oversubscription_curve
from labkit.openmp.intrinsics import load, num_threads, store, thread_num
from labkit.openmp.team import Team


def test_the_work_is_knuths_generator():
    def by_hand(num_steps, state):
        for _ in range(num_steps):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return state

    assert [spend(k, 7) % 2**64 for k in (0, 1, 5)] == [by_hand(k, 7) for k in (0, 1, 5)]
    steps = np.array([3, 0, 9, 1])
    assert spend_iterations(1, 4, steps) == sum(by_hand(int(steps[i]), i) & 0xFFFF for i in (1, 2, 3))


def test_steps_are_in_proportion_to_time():
    assert steps_per_second() > 1e6
    assert steps_of(np.array([0.0, 1e-3, 2e-3])) == pytest.approx(np.array([0, 1, 2]) * steps_per_second() / 1e3, abs=1)


@njit
def in_step(team, num_phases, arrivals, places, late):
    """Every thread notes its phase; after the barrier nobody may be behind."""
    thread = thread_num()
    for phase in range(1, num_phases + 1):
        store(places, thread, phase)
        patient_barrier(team, arrivals, AT_ONCE)
        for k in range(num_threads()):
            late[thread] += load(places, k) < phase
        patient_barrier(team, arrivals, AT_ONCE)


@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_nobody_passes_the_barrier_before_all_are_there(p):
    arrivals, places, late = np.zeros(32, np.int64), np.zeros(p, np.int64), np.zeros(p, np.int64)
    Team(p).parallel(in_step, 50, arrivals, places, late)
    assert places.tolist() == [50] * p and not late.any()


def test_the_same_work_in_every_way():
    assert oversubscription_curve(np.int64(2), work_s=1e-5, num_rounds=1).num_threads.tolist() == [2]
    curve = oversubscription_curve([3, 1, 2], num_phases=3, work_s=2e-4, num_rounds=2)
    assert curve.num_threads.tolist() == [1, 2, 3] and curve.num_wrong == 0
    assert all(curve.times_s[way].shape == (2, 3) and (curve.times_s[way] > 0).all() for way in WAYS)
    assert curve.work_s == pytest.approx(2e-4, rel=0.2)


def test_throughput_and_barriers():
    times = {"no barrier": [[2.0, 1.0]], "yielding": [[2.0, 1.5]], "spinning": [[2.0, 11.0]]}
    curve = OversubscriptionCurve(
        2, 5, 2.0, np.array([1, 4]), {way: np.array(values) * 1e-3 for way, values in times.items()}
    )
    assert curve.throughput("no barrier").tolist() == pytest.approx([1000, 2000])
    assert curve.barrier_s("spinning").tolist() == pytest.approx([0, 2e-3])
    assert "4 threads on 2 cores: the work takes 1 ms without barriers, 1.5 ms with 5" in curve.words()


@pytest.mark.parametrize(
    "options", [{"num_threads": [0]}, {"num_threads": []}, {"num_threads": [2, 10_000]}, {"num_phases": 0},
                {"work_s": -1.0}, {"work_s": 2.0}, {"num_rounds": 0}, {"num_threads": 2.5}]
)
def test_bad_input(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        oversubscription_curve(**options)


def workers():
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            found += [child] if layers.WORKER in child.cmdline() else []
        except psutil.Error:
            continue
    return found


def test_all_combinations_of_layers_multiply_right():
    report = layers_report(2, size=16, piece_s=0.005, num_rounds=1)
    shapes = {(c.num_ranks, c.num_threads, c.num_blas_threads) for c in report.combinations}
    assert shapes == {(a, b, c) for a in (1, 2) for b in (1, 2) for c in (1, 2)}
    assert [c.total for c in report.combinations] == [1, 2, 2, 2, 4, 4, 4, 8]
    assert report.num_wrong == 0 and all(len(c.flops) == 1 and c.best_flops > 0 for c in report.combinations)
    assert workers() == []


def test_processes_end_when_it_is_stopped():
    seen = []

    def stop(text):
        if "round" in text:
            seen.append(len(workers()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layers_report(2, size=16, piece_s=0.005, progress=stop)
    assert seen == [4] and workers() == []


def test_a_process_that_does_not_start(monkeypatch):
    monkeypatch.setattr(layers, "WORKER", "labkit.openmp.experiments.no_such_worker")
    with pytest.raises(NotAvailableError, match="ended with status 1"):
        layers_report(2, size=16)


def test_words_of_layers():
    combinations = (Layers(1, 1, 1, (1e9, 2e9)), Layers(2, 1, 1, (4e9,)), Layers(2, 2, 2, (1e9, 0.5e9)))
    words = LayersReport(2, 64, combinations).words()
    assert "2 x 1 x 1 does most work; 2 x 2 x 2 = 8 threads do 25% of it" in words


@pytest.mark.parametrize(
    "options", [{"per_layer": 1}, {"per_layer": 9}, {"size": 0}, {"num_rounds": 0}, {"piece_s": -1.0}, {"piece_s": 1.5}]
)
def test_bad_input_of_layers(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        layers_report(**options)
